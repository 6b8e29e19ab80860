package partition

import (
	"fmt"

	"github.com/leanvibe/hive/workers/assignment/matcher"
)

// AgentSpec is what an agent says of itself; its fields were validated by the caller.
type AgentSpec struct {
	ID           string
	Capabilities []string
	// Capacity is how many executions it takes at a time, in all partitions together.
	Capacity int
	Labels   map[string]string
}

// A Seating is an agent as its home attaches it to a partition.
type Seating struct {
	AgentSpec
	// Slots is how many executions at a time this partition may give it, from 0.
	Slots int
	// Held is what it still runs of this partition's tasks.
	Held []Execution
	Sink Sink
	// Home is the replica that holds its stream, for lists.
	Home string
}

// AgentInfo is an agent as the partition knows it.
type AgentInfo struct {
	AgentSpec
	Running int
	// Home is the replica that holds its stream; empty: none does.
	Home string
	Seen int64 // Unix µs
}

// Seat attaches an agent, in place of its former sink if there is one. The leases of
// what it says that it holds are renewed, whatever else it is recorded to hold is given
// back, and Sink.Seated tells what it does not hold any more. refused is a *BusyError:
// the agent was not attached. Another error ends the partition.
func (s *State) Seat(now int64, in Seating) (refused, err error) {
	set, err := s.needs(in.Capabilities)
	if err != nil {
		return s.busy(err, in.Capabilities), nil
	}
	a := s.agents[in.ID]
	if a == nil {
		a = &agent{id: in.ID}
		s.agents[in.ID] = a
	}
	if a.handle != 0 {
		if a.sink != in.Sink {
			a.sink.Replaced()
		}
		if err := s.unbind(a); err != nil {
			return nil, err
		}
	}
	lost := s.renew(now, a, in.Held)
	var back []*entry
	holds := make([]matcher.TaskID, 0, len(in.Held))
	for _, e := range a.holds.all() {
		if e.renewed == s.rounds {
			holds = append(holds, e.handle)
		} else {
			back = append(back, e)
		}
	}
	a.handle, s.out, err = s.matcher.Reattach(set, max(in.Slots, 1), holds, in.Slots == 0, s.out)
	if err != nil {
		if a.holds.size == 0 {
			delete(s.agents, a.id)
		}
		return s.busy(err, in.Capabilities), nil
	}
	a.spec, a.sink, a.home, a.slots, a.seen, a.silent, a.wanted = in.AgentSpec, in.Sink, in.Home, in.Slots, now, false, false
	for int(a.handle.Slot()) >= len(s.attached) {
		s.attached = append(s.attached, nil)
	}
	s.attached[a.handle.Slot()] = a
	s.tell(a, func(sink Sink) {
		sink.Seated(lost)
		sink.Granted(in.Slots)
	})
	s.assign(now)
	return nil, s.giveBack(now, back)
}

// Grant sets how many executions at a time the partition may give an agent. One that
// holds more keeps them and gets nothing until they are fewer. A grant for an agent that
// has another sink, or none, does nothing.
func (s *State) Grant(now int64, name string, sink Sink, slots int) (err error) {
	a := s.agents[name]
	if a == nil || a.handle == 0 || a.sink != sink {
		return nil
	}
	s.tell(a, func(sink Sink) { sink.Granted(slots) })
	if a.slots == slots {
		return nil
	}
	a.slots = slots
	if slots > 0 {
		if s.out, err = s.matcher.SetCapacity(a.handle, slots, s.out); err != nil {
			return err
		}
	}
	if s.out, err = s.matcher.SetPaused(a.handle, a.idle(), s.out); err != nil {
		return err
	}
	s.assign(now)
	return nil
}

// Seeks tells whether Wants may have something to tell.
func (s *State) Seeks() bool { return s.wanted > 0 || s.matcher.Stats().Waiting > 0 }

// Wants tells the sinks of attached agents, as far as that has changed, whether tasks
// wait that the agent could do and has no slot for: its home may have slots elsewhere.
func (s *State) Wants() {
	s.wanted = 0
	for _, a := range s.attached {
		if a == nil {
			continue
		}
		wanted := !a.silent && a.holds.size >= a.slots && s.matcher.Wanted(a.handle)
		if wanted != a.wanted {
			a.wanted = wanted
			s.tell(a, func(sink Sink) { sink.Wanted(wanted) })
		}
		if wanted {
			s.wanted++
		}
	}
}

// unbind takes a's stream away; what it holds stays with it.
func (s *State) unbind(a *agent) error {
	if err := s.matcher.RemoveAgent(a.handle); err != nil {
		return fmt.Errorf("the matcher and the tables differ about agent %s: %w", a.id, err)
	}
	s.attached[a.handle.Slot()] = nil
	a.handle, a.sink = 0, nil
	return nil
}

// Unseat detaches an agent, unless it has a newer sink. What it holds is left to its
// leases. An error ends the partition.
func (s *State) Unseat(name string, sink Sink) error {
	a := s.agents[name]
	if a == nil || a.handle == 0 || a.sink != sink {
		return nil
	}
	if err := s.unbind(a); err != nil {
		return err
	}
	if a.holds.size == 0 {
		delete(s.agents, name)
	}
	return nil
}

// Agents answers those that are attached or hold something, in no order.
func (s *State) Agents() []AgentInfo {
	out := make([]AgentInfo, 0, len(s.agents))
	for _, a := range s.agents {
		info := AgentInfo{AgentSpec: a.spec, Running: a.holds.size, Seen: a.seen}
		info.ID = a.id
		if a.handle != 0 {
			info.Home = a.home
		}
		out = append(out, info)
	}
	return out
}
