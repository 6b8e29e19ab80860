package partition

import (
	"fmt"
	"time"

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

// renew grants a fresh lease to those of held that a holds, marks them, and answers the others.
func (s *State) renew(now int64, a *agent, held []Execution) (lost []Execution) {
	s.rounds++
	for _, x := range held {
		e := s.tasks[x.Task]
		if e == nil || e.Phase != Running || e.Attempt != x.Attempt || e.Agent != a.id {
			lost = append(lost, x)
			continue
		}
		e.renewed = s.rounds
		s.leases.remove(e)
		s.leases.add(e, now+s.limits.Lease.Microseconds())
	}
	return lost
}

func (s *State) giveBack(now int64, list []*entry) error {
	for _, e := range list {
		if err := s.finish(e, &event{at: now, cause: causeReleased, phase: Waiting}); err != nil {
			return err
		}
	}
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

// Heartbeat renews the leases of held and answers those that the agent does not hold
// any more. One that is not attached keeps what it holds in the same way: it may be
// draining, or on its way to another home.
func (s *State) Heartbeat(now int64, name string, held []Execution) (lost []Execution, err error) {
	a := s.agents[name]
	if a == nil {
		return held, nil
	}
	a.seen = now
	lost = s.renew(now, a, held)
	if a.handle != 0 && a.silent {
		a.silent = false
		if s.out, err = s.matcher.SetPaused(a.handle, a.idle(), s.out); err != nil {
			return nil, err
		}
		s.assign(now)
	}
	return lost, nil
}

// A Report says how one execution ended.
type Report struct {
	Agent string
	Execution
	Result []byte
	// Error is empty for success.
	Error string
	// Final failures go to the dead letters at once.
	Final bool
}

// A Verdict is what became of a report.
type Verdict struct {
	Accepted bool
	// Duplicate: the same report had been accepted before.
	Duplicate bool
	// Reason says why it was refused.
	Reason string
	Phase  Phase
}

// Report ends an execution, unless the agent does not hold it any more.
func (s *State) Report(now int64, r Report) (Verdict, error) {
	name := r.Agent
	e := s.tasks[r.Task]
	if e == nil {
		return Verdict{Reason: "no such task is kept"}, nil
	}
	if e.Agent == name && e.Attempt == r.Attempt {
		if e.Phase == Running {
			ev := &event{at: now, cause: causeCompleted, phase: Completed, body: r.Result}
			if r.Error != "" || r.Final {
				ev.cause, ev.text, ev.body = causeFailed, r.Error, nil
				ev.phase = after(e, r.Final)
			}
			if err := s.finish(e, ev); err != nil {
				return Verdict{}, err
			}
			return Verdict{Accepted: true, Phase: e.Phase}, nil
		}
		if repeats(e, r) {
			return Verdict{Accepted: true, Duplicate: true, Phase: e.Phase}, nil
		}
	}
	e.queue.stats.LateRefused++
	return Verdict{Reason: lateReason(e, r.Attempt, name), Phase: e.Phase}, nil
}

// prefetch has the matcher fetch what a batch of reports will need; it changes nothing.
func (s *State) prefetch(reports []Report) {
	s.fetched = s.fetched[:0]
	for _, r := range reports {
		if e := s.tasks[r.Task]; e != nil {
			s.fetched = append(s.fetched, e.handle)
		}
	}
	s.matcher.Prefetch(s.fetched)
}

// repeats tells whether r says again how e's last execution ended. One that was given
// back or lost has not ended by a report.
func repeats(e *entry, r Report) bool {
	if r.Error == "" && !r.Final {
		return e.Phase == Completed && string(e.Result) == string(r.Result)
	}
	return e.Error == r.Error && (e.Phase == Dead || e.Phase == Waiting && r.Error != "")
}

func lateReason(e *entry, attempt int, name string) string {
	switch {
	case attempt > e.Attempt:
		return fmt.Sprintf("attempt %d has not been started: the last is %d", attempt, e.Attempt)
	case attempt == e.Attempt && e.Agent != name:
		return fmt.Sprintf("attempt %d is agent %s's", attempt, e.Agent)
	case attempt < e.Attempt:
		return fmt.Sprintf("attempt %d was lost: attempt %d has followed it", attempt, e.Attempt)
	case e.Phase == Waiting:
		return fmt.Sprintf("attempt %d was lost: its lease ran out, and the task waits again", attempt)
	}
	return fmt.Sprintf("attempt %d has ended already: the task is %s", attempt, e.Phase)
}

// after is the phase of a task whose execution has just failed or been lost.
func after(e *entry, final bool) Phase {
	if final || e.Failures+1 >= e.MaxAttempts {
		return Dead
	}
	return Waiting
}

// Release gives executions back unfinished, at no cost of an attempt, and answers how
// many the agent held.
func (s *State) Release(now int64, name string, list []Execution) (int, error) {
	n := 0
	for _, x := range list {
		e := s.tasks[x.Task]
		if e == nil || e.Phase != Running || e.Attempt != x.Attempt || e.Agent != name {
			continue
		}
		if err := s.giveBack(now, []*entry{e}); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
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

// Tick does what time asks for, up to most of each kind: leases that ran out,
// deadlines that passed, finished tasks that need not be kept longer, agents that have
// been silent for a lease term. It answers whether more may be left.
func (s *State) Tick(now int64, most int) (more bool, err error) {
	for n := 0; s.leases.head != nil && s.leases.head.due <= now; n++ {
		if n == most {
			return true, nil
		}
		e := s.leases.head
		text := fmt.Sprintf("attempt %d was lost: agent %s was not heard of for %s", e.Attempt, e.Agent, s.limits.Lease)
		if err := s.finish(e, &event{at: now, cause: causeLost, phase: after(e, false), text: text}); err != nil {
			return false, err
		}
	}
	for n := 0; len(s.deadlines) > 0 && s.deadlines[0].Deadline <= now; n++ {
		if n == most {
			return true, nil
		}
		e := s.deadlines[0]
		text := "its deadline passed at " + time.UnixMicro(e.Deadline).UTC().Format(time.RFC3339) + " before an agent was free"
		if err := s.finish(e, &event{at: now, cause: causeExpired, phase: Dead, text: text}); err != nil {
			return false, err
		}
	}
	if err := s.silence(now); err != nil {
		return false, err
	}
	return s.drop(now, most), nil
}

// silence pauses agents that have not been heard of for a lease term.
func (s *State) silence(now int64) (err error) {
	for _, a := range s.attached {
		if a == nil || a.silent || a.seen+s.limits.Lease.Microseconds() > now {
			continue
		}
		a.silent = true
		if s.out, err = s.matcher.SetPaused(a.handle, true, s.out); err != nil {
			return err
		}
	}
	return nil
}
