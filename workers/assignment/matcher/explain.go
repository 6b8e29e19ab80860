package matcher

import (
	"fmt"
	"strings"
)

// maxAhead bounds the walk that finds a task's position.
const maxAhead = 10_000

// An Explanation says why a task waits, or who has it.
type Explanation struct {
	Running  bool
	Agent    AgentID // that runs it
	Queue    string
	Priority int
	Needs    []string
	// Missing are needed capabilities that no attached agent has.
	Missing []string
	// Able agents have everything needed; Full and Paused of them have no room.
	Able, Full, Paused int
	// Ahead is how many tasks of the queue come first on an able agent, counted
	// up to a bound that AheadCapped says was met.
	Ahead       int
	AheadCapped bool
	// Weight of TotalWeight is the queue's share of the queues that have tasks
	// for the same agents.
	Weight, TotalWeight int
}

// Explain says why a task waits, or who has it. It walks lists: not for the path
// of every task.
func (m *Matcher) Explain(id TaskID) (Explanation, error) {
	t, err := m.task(id)
	if err != nil {
		return Explanation{}, err
	}
	q := &m.queues[t.queue()]
	e := Explanation{
		Running:  t.state() == running,
		Agent:    t.agent(),
		Queue:    q.name,
		Priority: int(t.priority()),
		Needs:    m.Capabilities.Names(m.needs.sets[t.need()]),
		Weight:   int(q.weight),
	}
	if e.Running {
		return e, nil
	}
	var known Set
	var rivals shapeBits // needs that the able agents satisfy as well
	for s := range m.pools {
		p := &m.pools[s]
		if p.agents == 0 {
			continue
		}
		known = known.union(m.skills.sets[s])
		if !m.needs.fits[t.need()].has(uint32(s)) {
			continue
		}
		e.Able += p.agents
		e.Full += p.full
		e.Paused += p.paused
		for w, word := range m.skills.fits[s] {
			rivals[w] |= word
		}
	}
	e.Missing = m.Capabilities.Names(m.needs.sets[t.need()].without(known))
	for i := range m.queues {
		if m.competes(&m.queues[i], &rivals) {
			e.TotalWeight += int(m.queues[i].weight)
		}
	}
	e.Ahead, e.AheadCapped = m.ahead(q, id.Slot(), &rivals)
	return e, nil
}

func (m *Matcher) competes(q *queue, needs *shapeBits) bool {
	for w := range needs {
		if q.needs[w]&needs[w] != 0 {
			return true
		}
	}
	return false
}

// ahead counts the tasks of q that the agents of rivals would take before slot i.
func (m *Matcher) ahead(q *queue, i uint32, rivals *shapeBits) (count int, capped bool) {
	t := &m.tasks[i]
	for n, f := range q.fronts {
		if f.lane == 0 || !rivals.has(uint32(n)) {
			continue
		}
		for _, head := range m.lanes[f.lane].heads {
			for j := head; j != 0 && j != i && m.tasks[j].key <= t.key; j = m.tasks[j].next {
				o := &m.tasks[j]
				if o.key == t.key && o.priority() <= t.priority() && !(o.priority() == t.priority() && n == int(t.need())) {
					continue
				}
				if count++; count == maxAhead {
					return count, true
				}
			}
		}
	}
	return count, false
}

// String says it in English.
func (e Explanation) String() string {
	if e.Running {
		return "It is running."
	}
	var b strings.Builder
	switch {
	case len(e.Missing) > 0:
		fmt.Fprintf(&b, "No attached agent has %s.", strings.Join(e.Missing, ", "))
	case e.Able == 0 && len(e.Needs) == 0:
		b.WriteString("No agent is attached.")
	case e.Able == 0:
		fmt.Fprintf(&b, "No single agent has all of %s.", strings.Join(e.Needs, ", "))
	case e.Able == 1:
		state := "full"
		if e.Paused == 1 {
			state = "draining"
		}
		fmt.Fprintf(&b, "The only agent that could do it is %s.", state)
	case e.Paused == e.Able:
		fmt.Fprintf(&b, "All %d agents that could do it are draining.", e.Able)
	case e.Paused > 0:
		fmt.Fprintf(&b, "Of %d agents that could do it %s full and %d draining.", e.Able, are(e.Full), e.Paused)
	default:
		fmt.Fprintf(&b, "All %d agents that could do it are full.", e.Able)
	}
	if e.Able == 0 {
		return b.String()
	}
	switch {
	case e.AheadCapped:
		fmt.Fprintf(&b, " At least %d tasks of queue %q come before it.", e.Ahead, e.Queue)
	case e.Ahead == 0:
		fmt.Fprintf(&b, " It is the next of queue %q.", e.Queue)
	case e.Ahead == 1:
		fmt.Fprintf(&b, " 1 task of queue %q comes before it.", e.Queue)
	default:
		fmt.Fprintf(&b, " %d tasks of queue %q come before it.", e.Ahead, e.Queue)
	}
	if e.TotalWeight > e.Weight {
		fmt.Fprintf(&b, " The queue gets %d of every %d free slots.", e.Weight, e.TotalWeight)
	}
	return b.String()
}

// are is n with its verb.
func are(n int) string {
	if n == 1 {
		return "1 is"
	}
	return fmt.Sprintf("%d are", n)
}
