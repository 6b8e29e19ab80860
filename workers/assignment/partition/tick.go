package partition

import (
	"fmt"
	"time"
)

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
