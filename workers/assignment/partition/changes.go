package partition

// A Sink is told what happens to one attached agent, in the order in which it was decided
// and when it is durable, so that whoever counts knows what the agent runs here and how
// many slots it has. Replaced alone comes at once. A Sink must not block and must not call
// the partition.
type Sink interface {
	// Seated is the first: the agent runs what it said that it holds, but for lost.
	Seated(lost []Execution)
	// Assign hands executions to the agent; the list is not the sink's once it returns.
	Assign([]Assignment)
	// Ended says that an execution is the agent's no more, for whatever reason.
	Ended(Execution)
	// Granted says how many slots the agent has here from now on.
	Granted(slots int)
	// Wanted says whether tasks wait that the agent could do and has no slot for.
	Wanted(bool)
	// Replaced says that the agent has attached again elsewhere; it is the last.
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

// A notice is something that a sink is told once it is durable.
type notice struct {
	to Sink
	// tell calls it; nil: it is told that ended has, or given the next of Changes.given.
	tell  func(Sink)
	ended Execution
}

// gives tells whether it is an execution that the sink is given.
func (n *notice) gives() bool { return n.tell == nil && n.ended.Attempt == 0 }

// Changes is what has been decided and is not durable yet: records, and what to tell
// whom once they are.
type Changes struct {
	w        writer
	ends     []int    // of each record in w.buf
	list     [][]byte // of pieces
	notices  []notice
	given    []Assignment
	assigned int
	finished []TaskID
	bodies   ledger
}

func (c *Changes) seal() { c.ends = append(c.ends, len(c.w.buf)) }

// reset empties c and keeps its memory.
func (c *Changes) reset() {
	clear(c.notices)
	clear(c.given)
	c.w.buf, c.ends, c.notices, c.given = c.w.buf[:0], c.ends[:0], c.notices[:0], c.given[:0]
	c.finished, c.assigned = c.finished[:0], 0
	c.bodies.reset()
}

// give has an execution given to an agent; payload is what Redis keeps of it.
func (c *Changes) give(to Sink, a Assignment, payload ref) {
	if payload.size > 0 {
		c.bodies.needs = append(c.bodies.needs, need{given: len(c.given), want: want{id: bodyID{a.Task, payloadSide}, ref: payload}})
		c.bodies.needed += payload.size
	}
	c.notices = append(c.notices, notice{to: to})
	c.given = append(c.given, a)
}

// deliver tells the sinks, in order; assignments of one sink behind each other go together.
func (c *Changes) deliver() {
	given := 0
	for from := 0; from < len(c.notices); {
		n, first := &c.notices[from], given
		from++
		switch {
		case n.tell != nil:
			n.tell(n.to)
			continue
		case n.ended.Attempt != 0:
			n.to.Ended(n.ended)
			continue
		}
		for given++; from < len(c.notices) && c.notices[from].to == n.to && c.notices[from].gives(); from++ {
			given++
		}
		n.to.Assign(c.given[first:given:given])
	}
}

// withdraw takes executions that nobody can do back from the agents that were to have them.
func (c *Changes) withdraw(lost []loss) {
	if len(lost) == 0 {
		return
	}
	notices, given, at := c.notices[:0], c.given[:0], 0
	for _, n := range c.notices {
		if n.gives() {
			at++
			if len(lost) > 0 && lost[0].given == at-1 {
				lost = lost[1:]
				continue
			}
			given = append(given, c.given[at-1])
		}
		notices = append(notices, n)
	}
	clear(c.notices[len(notices):])
	clear(c.given[len(given):])
	c.notices, c.given = notices, given
}

// take answers what was decided since the last take; spare is filled next.
func (s *State) take(spare *Changes) *Changes {
	out := s.changes
	s.changes = spare
	return out
}

// ended has a's sink told in its turn that an execution is not the agent's any more.
func (s *State) ended(a *agent, x Execution) {
	if a.handle != 0 {
		s.changes.notices = append(s.changes.notices, notice{to: a.sink, ended: x})
	}
}

// tell has a's sink told something in its turn.
func (s *State) tell(a *agent, what func(Sink)) {
	if a.handle != 0 {
		s.changes.notices = append(s.changes.notices, notice{to: a.sink, tell: what})
	}
}
