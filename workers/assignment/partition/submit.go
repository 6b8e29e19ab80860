package partition

import (
	"errors"
	"fmt"
	"time"
)

// Submitted is what became of one draft. Err is a *ConflictError, a *BusyError or
// ErrExpired: nothing was stored.
type Submitted struct {
	Task      TaskID
	Duplicate bool
	Err       error
}

// Submit stores tasks and assigns those for which an agent is free; each has its own
// outcome, in order, and an ID of its own. The same key with the same body answers the first
// task; the same ID in another call is the same submit, sent again.
func (s *State) Submit(now int64, drafts ...*Draft) []Submitted {
	out := make([]Submitted, len(drafts))
	type admitted struct {
		*entry
		payload []byte
	}
	fresh := make([]admitted, 0, len(drafts))
	size := 0
	// First everything is decided, and then all of it is written down: that takes longer.
	for i, d := range drafts {
		var e *entry
		if out[i], e = s.admit(now, d, size); e != nil {
			fresh = append(fresh, admitted{e, d.Payload})
			size += e.size()
		}
	}
	for _, a := range fresh {
		e := a.entry
		s.insert(e)
		s.link(e, now)
		s.index(e)
		e.queue.stats.Submitted++
		if e.stored != nil {
			s.changes.put(bodyID{e.ID, payloadSide}, a.payload)
		}
		s.changes.w.submitted(&e.Task)
		s.changes.seal()
	}
	s.record(now)
	return out
}

// admit gives a task to the matcher, or says why not; size is that of the tasks that are
// admitted already and not in the tables yet.
func (s *State) admit(now int64, d *Draft, size int) (Submitted, *entry) {
	if s.tasks[d.ID] != nil {
		return Submitted{Task: d.ID}, nil
	}
	if d.Key != "" {
		if e := s.keyed(d); e != nil {
			st := &e.queue.stats
			if e.Digest == d.Digest {
				st.DuplicatesAnswered++
				return Submitted{Task: e.ID, Duplicate: true}, nil
			}
			st.DuplicatesRefused++
			return Submitted{Task: e.ID, Err: &ConflictError{d.Key, e.ID}}, nil
		}
	}
	if d.Deadline != 0 && d.Deadline <= now {
		return Submitted{Err: ErrExpired}, nil
	}
	if late := len(s.unarchived); late >= s.limits.Unarchived {
		return Submitted{Err: &BusyError{fmt.Sprintf("%d finished tasks wait for the archive, the most that are kept", late), 10 * time.Second}}, nil
	}
	d.weigh()
	e := &entry{Task: Task{Draft: *d, Phase: Waiting, Submitted: now}, at: -1}
	if e.stored != nil {
		e.Payload = nil
	}
	if s.limits.Bytes > 0 && s.bytes+size+e.size() > s.limits.Bytes {
		return Submitted{Err: &BusyError{fmt.Sprintf("tasks and results take %d MiB of memory, the most that this partition may", s.limits.Bytes>>20), 5 * time.Second}}, nil
	}
	spec, err := s.spec(&e.Task)
	if err != nil {
		return Submitted{Err: s.busy(err, d.Capabilities)}, nil
	}
	handle, out, err := s.matcher.Submit(spec, s.out)
	if err != nil {
		return Submitted{Err: s.busy(err, d.Capabilities)}, nil
	}
	s.decide(len(out) - len(s.out))
	e.handle, s.out = handle, out
	e.Capabilities = s.set(spec.Needs, d.Capabilities)
	s.name(e) // the next draft of the call may have the same key
	return Submitted{Task: e.ID}, e
}

// keyed answers the task of a draft's key. A queue has keys of its own: it is in one partition,
// a key over all queues would have to be looked for in every partition.
func (s *State) keyed(d *Draft) *entry {
	if q := s.queues[d.Queue]; q != nil {
		return q.keys[d.Key]
	}
	return nil
}

// Get answers a task without what Redis keeps of it, or ErrNotFound.
func (s *State) Get(id TaskID) (Task, error) {
	if e := s.tasks[id]; e != nil {
		return e.Task, nil
	}
	return Task{}, ErrNotFound
}

// Cancel takes back a task that waits. It answers a *NotWaitingError for another, nil
// for one that is cancelled already, and ErrNotFound.
func (s *State) Cancel(now int64, id TaskID) error {
	e := s.tasks[id]
	switch {
	case e == nil:
		return ErrNotFound
	case e.Phase == Cancelled:
		return nil
	case e.Phase != Waiting:
		return &NotWaitingError{id, e.Phase}
	}
	return s.finish(e, &event{at: now, cause: causeCancelled, phase: Cancelled, text: "cancelled"})
}

// Explain says in English why a task waits, or where it stands.
func (s *State) Explain(id TaskID) (string, error) {
	e := s.tasks[id]
	switch {
	case e == nil:
		return "", ErrNotFound
	case e.Phase == Running && s.agents[e.Agent].handle == 0:
		return fmt.Sprintf("Attempt %d runs on agent %s, which is not attached: it waits for the agent, or for the end of the lease.", e.Attempt, e.Agent), nil
	case e.Phase == Running:
		return fmt.Sprintf("Attempt %d runs on agent %s.", e.Attempt, e.Agent), nil
	case e.Phase.Finished() && e.Error != "":
		return fmt.Sprintf("It is %s: %s.", e.Phase, e.Error), nil
	case e.Phase.Finished():
		return fmt.Sprintf("It is %s.", e.Phase), nil
	}
	why, err := s.matcher.Explain(e.handle)
	if err != nil {
		return "", errors.Join(ErrNotFound, err)
	}
	return why.String(), nil
}

// Stats answers every queue's counters, in no order.
func (s *State) Stats() []Stats {
	out := make([]Stats, 0, len(s.queues))
	for _, q := range s.queues {
		out = append(out, q.stats)
	}
	return out
}
