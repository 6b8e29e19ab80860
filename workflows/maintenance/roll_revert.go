package maintenance

import (
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/runbook"
)

// revert puts the service back to what served before the run: traffic first, then
// the old replicas, then the new ones away. It reads what runs now, so that a
// second try goes on where the first ended. It pulls nothing.
func (s *roll) revert(ctx workflow.Context) error {
	if len(s.made)+len(s.stopped)+len(s.drained)+len(s.aside) == 0 {
		return nil
	}
	if err := s.divert(ctx); err != nil {
		return err
	}
	if err := s.restart(ctx); err != nil {
		return err
	}
	if s.svc.Upstream != "" && len(s.old) > 0 {
		if _, err := flow.Reverting(ctx, s.run, runbook.SetUpstream, s.svc.Name, s.upstream(s.old)); err != nil {
			return err
		}
	}
	return s.discard(ctx)
}

// divert takes users away from every new replica that has not passed, at once:
// what else has to be put back can wait.
func (s *roll) divert(ctx workflow.Context) error {
	good := s.serving()
	if s.svc.Upstream == "" || len(s.made) == 0 || len(good) == 0 {
		return nil
	}
	_, err := flow.Reverting(ctx, s.run, runbook.SetUpstream, s.svc.Name, s.upstream(good))
	return err
}

// restart starts the stopped old replicas again and lets drained workers work.
func (s *roll) restart(ctx workflow.Context) error {
	for _, m := range append([]member(nil), s.stopped...) {
		started, err := flow.Reverting(ctx, s.run, runbook.StartReplica, s.svc.Name, s.replica(m))
		if err != nil {
			return err
		}
		m.ip = started.Address
		if err := s.healthy(ctx, m, flow.Reverting[runbook.AwaitHealthyInput, runbook.Health], flow.Reverting[runbook.AwaitAnswerInput, runbook.Health]); err != nil {
			return err
		}
		s.old = append(s.old, m)
		s.stopped = without(s.stopped, m.id)
		for i := range s.drained {
			if s.drained[i].id == m.id {
				s.drained[i].ip = started.Address // one that compose made comes back at another
			}
		}
		for i := range s.aside {
			if s.aside[i].id == m.id {
				s.aside[i].ip = started.Address
			}
		}
	}
	// One that was started again takes tasks by itself; one whose stop failed does not.
	for _, m := range append([]member(nil), s.drained...) {
		if _, err := flow.Reverting(ctx, s.run, runbook.ResumeWorker, m.name, s.worker(m)); err != nil {
			return err
		}
		s.drained = without(s.drained, m.id)
	}
	return s.resume(ctx)
}

// discard takes the new replicas away, after what was under way on them.
func (s *roll) discard(ctx workflow.Context) error {
	found, err := flow.Reverting(ctx, s.run, runbook.TakeCensus, s.svc.Name, runbook.CensusInput{Project: s.run.Stack.Project})
	if err != nil {
		return err
	}
	for _, made := range append([]member(nil), s.made...) {
		for _, c := range found.Of(s.svc.Name) {
			if c.Name != made.name || c.Run != s.run.ID() {
				continue
			}
			m := member{id: c.ID, name: c.Name, ip: c.Address}
			if c.State == "running" {
				s.empty(ctx, m)
				if err := s.stop(ctx, m, flow.Reverting[runbook.ReplicaInput, runbook.Stopped]); err != nil {
					return err
				}
			}
			if _, err := flow.Reverting(ctx, s.run, runbook.RemoveReplica, s.svc.Name, s.replica(m)); err != nil {
				return err
			}
		}
	}
	s.made = nil
	return nil
}

// empty lets a running new replica finish what it holds. It may be the broken one,
// so what does not answer is not waited for.
func (s *roll) empty(ctx workflow.Context, m member) {
	if s.svc.Role == runbook.RoleWorker {
		if _, err := flow.Reverting(ctx, s.run, runbook.DrainWorker, m.name, s.worker(m)); err == nil {
			_, _ = flow.Reverting(ctx, s.run, runbook.AwaitIdle, m.name, s.worker(m))
		}
		return
	}
	_, _ = flow.Reverting(ctx, s.run, runbook.AwaitQuiet, m.name, s.watching(m, workflow.Now(ctx)))
}
