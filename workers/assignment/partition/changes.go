package partition

// A Sink is an agent's stream. It is told what is durable, and must not block.
type Sink interface {
	// Assign hands executions to the agent.
	Assign([]Assignment)
	// Replaced says that the agent has attached again elsewhere.
	Replaced()
}

// An Assignment is an execution for an agent.
type Assignment struct {
	Execution
	Queue, Handler string
	Priority       int
	Deadline       int64 // Unix µs, 0: none
	Payload        []byte
}

// A delivery is an assignment and where it goes once it is durable.
type delivery struct {
	to Sink
	Assignment
}

// Changes is what has been decided and is not durable yet: records, and what to tell
// whom once they are.
type Changes struct {
	w          writer
	ends       []int // of each record in w.buf
	deliveries []delivery
	finished   []TaskID
}

// records answers the encoded records; they share the memory of c.
func (c *Changes) records() [][]byte {
	out := make([][]byte, len(c.ends))
	from := 0
	for i, end := range c.ends {
		out[i] = c.w.buf[from:end:end]
		from = end
	}
	return out
}

func (c *Changes) seal() { c.ends = append(c.ends, len(c.w.buf)) }

// reset empties c and keeps its memory.
func (c *Changes) reset() {
	clear(c.deliveries)
	c.w.buf, c.ends, c.deliveries, c.finished = c.w.buf[:0], c.ends[:0], c.deliveries[:0], c.finished[:0]
}

// take answers what was decided since the last take; spare is filled next.
func (s *State) take(spare *Changes) *Changes {
	out := s.changes
	s.changes = spare
	return out
}
