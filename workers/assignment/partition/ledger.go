package partition

// put is a large body that is to be stored together with a record.
type put struct {
	record int
	id     bodyID
	bytes  []byte
}

// drop is one that goes together with a record.
type drop struct {
	record int
	id     bodyID
}

// need is the payload of an execution that was given to an agent and that Redis keeps.
type need struct {
	given int // its place in Changes.given
	want
}

// ledger is what Changes do to large bodies, by records in their order.
type ledger struct {
	puts  []put
	drops []drop
	needs []need
	// put and needed are bytes, together.
	put, needed int
}

// reset empties l and keeps its memory.
func (l *ledger) reset() {
	clear(l.puts)
	clear(l.needs)
	*l = ledger{puts: l.puts[:0], drops: l.drops[:0], needs: l.needs[:0]}
}

// put has a body stored with the record that is sealed next.
func (c *Changes) put(id bodyID, bytes []byte) {
	c.bodies.puts = append(c.bodies.puts, put{len(c.ends), id, bytes})
	c.bodies.put += len(bytes)
}

// drop has a body dropped with the record that is sealed next.
func (c *Changes) drop(id bodyID) { c.bodies.drops = append(c.bodies.drops, drop{len(c.ends), id}) }

// take gives the executions of the batch their large payloads as far as they are stored with
// it, and answers the needs that are left.
func (l *ledger) take(given []Assignment) (left []need) {
	if len(l.needs) == 0 {
		return nil
	}
	here := make(map[bodyID][]byte, len(l.puts))
	for _, p := range l.puts {
		here[p.id] = p.bytes
	}
	for _, n := range l.needs {
		if given[n.given].Payload = here[n.id]; given[n.given].Payload == nil {
			left = append(left, n)
		}
	}
	return left
}
