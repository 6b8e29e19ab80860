package partition

import "fmt"

// A Report says how one execution ended.
type Report struct {
	Agent string
	Execution
	Result []byte
	// Error is empty for success.
	Error string
	// Final failures go to the dead letters at once.
	Final bool

	ref ref // of a large result
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
	r.weigh()
	name := r.Agent
	e := s.tasks[r.Task]
	if e == nil {
		return Verdict{Reason: "no such task is kept"}, nil
	}
	if e.Agent == name && e.Attempt == r.Attempt {
		if e.Phase == Running {
			ev := &event{at: now, cause: causeCompleted, phase: Completed, body: r.Result, ref: r.ref}
			if r.Error != "" || r.Final {
				ev.cause, ev.text, ev.body, ev.ref = causeFailed, r.Error, nil, ref{}
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

// undo ends an execution whose payload cannot be had: nobody could ever do it, so its task is
// dead. An error ends the partition.
func (s *State) undo(now int64, x Execution, why error) error {
	e := s.tasks[x.Task]
	if e == nil || e.Phase != Running || e.Attempt != x.Attempt {
		return nil
	}
	return s.finish(e, &event{at: now, cause: causeFailed, phase: Dead, text: why.Error()})
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
		if kept := e.stored.resultRef(); kept.size > 0 {
			return kept == r.ref
		}
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

func (s *State) giveBack(now int64, list []*entry) error {
	for _, e := range list {
		if err := s.finish(e, &event{at: now, cause: causeReleased, phase: Waiting}); err != nil {
			return err
		}
	}
	return nil
}
