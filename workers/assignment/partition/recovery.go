package partition

import (
	"fmt"
	"slices"
)

// Apply changes the state as one record of the journal says. Only before Ready.
func (s *State) Apply(record []byte) error {
	ev, err := decode(record)
	if err != nil {
		return err
	}
	switch ev.kind {
	case kindSubmitted, kindWhole:
		return s.applyNew(&ev)
	case kindCounters:
		q, err := s.queue(ev.stats.Queue)
		if err != nil {
			return err
		}
		waiting, running := q.stats.Waiting, q.stats.Running
		q.stats = ev.stats
		q.stats.Waiting, q.stats.Running = waiting, running
		return nil
	case kindArchived:
		for id := range slices.Chunk(ev.ids, len(TaskID{})) {
			// One that was forgotten since, or redriven, has nothing to mark.
			if e := s.tasks[TaskID(id)]; e != nil && e.Phase.Finished() && !e.archived {
				e.archived = true
				e.queue.stats.Archived++
			}
		}
		return nil
	}
	e := s.tasks[ev.id]
	if e == nil {
		return fmt.Errorf("it speaks of task %s, which no record before it has submitted", ev.id)
	}
	switch ev.kind {
	case kindStarted:
		if e.Phase != Waiting || int(ev.attempt) != e.Attempt+1 {
			return fmt.Errorf("attempt %d of task %s, which is %s after attempt %d", ev.attempt, ev.id, e.Phase, e.Attempt)
		}
		s.start(e, ev.at, int(ev.attempt), ev.agent)
	case kindEnded:
		if e.Phase.Finished() || phaseNames[ev.phase] == "" || ev.phase == Running {
			return fmt.Errorf("task %s, which is %s, would be %s", ev.id, e.Phase, ev.phase)
		}
		ev.body = slices.Clone(ev.body)
		s.end(e, &ev)
	case kindRedriven:
		if e.Phase != Dead {
			return fmt.Errorf("task %s is put back while it is %s", ev.id, e.Phase)
		}
		s.putBack(e, ev.at)
	case kindForgotten:
		if !e.Phase.Finished() {
			return fmt.Errorf("task %s is forgotten while it is %s", ev.id, e.Phase)
		}
		s.forget(e)
	}
	return nil
}

func (s *State) applyNew(ev *event) error {
	t := *ev.whole
	if s.tasks[t.ID] != nil || phaseNames[t.Phase] == "" {
		return fmt.Errorf("task %s is submitted a second time, or in phase %d", t.ID, t.Phase)
	}
	// A large body inside a record is of a version that kept all of them so: it stays in memory.
	t.Payload, t.Result = slices.Clone(t.Payload), slices.Clone(t.Result)
	q, err := s.queue(t.Queue)
	if err != nil {
		return err
	}
	if ev.kind == kindSubmitted {
		q.stats.Submitted++
	}
	e := &entry{Task: t, at: -1}
	s.name(e)
	s.insert(e)
	if t.Phase == Running {
		e.Phase = Waiting // start moves it
		q.stats.moved(Running, Waiting)
		s.start(e, t.Started, t.Attempt, t.Agent)
		q.stats.Executions--
	}
	return nil
}

// Ready fills the matcher with what was restored, in order of arrival, and grants
// every execution a fresh lease from now on (Unix µs).
func (s *State) Ready(now int64) error {
	s.ready = true
	s.changes.reset()
	all := make([]*entry, 0, len(s.tasks))
	for _, e := range s.tasks {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int {
		if c := a.Submitted - b.Submitted; c != 0 {
			return int(max(-1, min(1, c)))
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	for _, e := range all {
		s.link(e, now)
		if e.Phase.Finished() {
			continue
		}
		spec, err := s.spec(&e.Task)
		if err != nil {
			return fmt.Errorf("task %s: %w", e.ID, err)
		}
		if e.Phase == Running {
			e.handle, err = s.matcher.SubmitRunning(spec)
		} else {
			e.handle, _, err = s.matcher.Submit(spec, nil)
		}
		if err != nil {
			return fmt.Errorf("task %s: %w: raise the limits to what they were when it was submitted", e.ID, err)
		}
		s.index(e)
	}
	return nil
}
