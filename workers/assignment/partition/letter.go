package partition

import "fmt"

// Redrive puts a dead letter back into its queue, with all its attempts before it. One
// that waits or runs was put back already. It answers ErrNotFound, a *NotDeadError or a
// *BusyError; any other error ends the partition.
func (s *State) Redrive(now int64, id TaskID) (refused, err error) {
	e := s.tasks[id]
	switch {
	case e == nil:
		return ErrNotFound, nil
	case !e.Phase.Finished():
		return nil, nil
	case e.Phase != Dead:
		return &NotDeadError{id, e.Phase}, nil
	case e.Deadline != 0 && e.Deadline <= now:
		return ErrExpired, nil
	}
	spec, err := s.spec(&e.Task)
	if err != nil {
		return s.busy(err, e.Capabilities), nil
	}
	spec.Arrival = now
	handle, out, err := s.matcher.Submit(spec, s.out)
	if err != nil {
		return s.busy(err, e.Capabilities), nil
	}
	s.out, e.handle = out, handle
	s.putBack(e, now)
	s.index(e)
	s.changes.w.redriven(e.ID, now)
	s.changes.seal()
	s.assign(now)
	return nil, nil
}

// putBack makes a dead letter wait. Its attempts go on counting: they are fencing tokens.
func (s *State) putBack(e *entry, now int64) {
	s.preserve(e)
	s.moveTo(e, Waiting, now)
	e.Failures, e.Error, e.Finished, e.archived = 0, "", 0, false
	e.queue.stats.Redriven++
}

// NotDeadError is a re-drive of a task that has ended well, or was cancelled.
type NotDeadError struct {
	Task  TaskID
	Phase Phase
}

func (e *NotDeadError) Error() string {
	return fmt.Sprintf("task %s is %s: only a dead letter can be put back", e.Task, e.Phase)
}
