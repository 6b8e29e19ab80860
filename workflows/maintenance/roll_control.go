package maintenance

import (
	"errors"
	"fmt"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/runbook"
)

// controlled says that the service's replicas answer control steps, so that each gives its
// partitions and agents up while it still serves. Without, SIGTERM does the same at once.
func (s *roll) controlled() bool { return s.svc.Control == runbook.ControlAssignment }

// snapshot shortens the logs before replicas go: the next owner of each partition reads
// the log. A roll is as safe without.
func (s *roll) snapshot(ctx workflow.Context) error {
	if !s.controlled() || !s.plan.retires() {
		return nil
	}
	_, err := flow.Do(ctx, s.run, runbook.SnapshotPartitions, s.svc.Name, runbook.SnapshotInput{Fence: s.run.Fence(flow.Service(s.svc.Name))})
	return s.goOn(ctx, err, s.svc.Name, "the partitions wrote no snapshot before the roll, so their next owners read more")
}

// handOver drains an old replica before its stop.
func (s *roll) handOver(ctx workflow.Context, m member) error {
	if !s.controlled() {
		return nil
	}
	s.aside = append(s.aside, m)
	stands, err := flow.Do(ctx, s.run, runbook.DrainReplica, m.name, s.orchestrator(m))
	if err != nil && !mayHaveBegun(err) {
		s.aside = without(s.aside, m.id)
	}
	if err == nil && !stands.Met {
		s.run.Find(runbook.Warning, m.name, fmt.Sprintf("still had %d partitions and %d agents when its time was over; its stop hands them over",
			stands.Partitions, stands.Agents))
	}
	if runbook.KindOf(err) == runbook.Unsafe {
		return err
	}
	return s.goOn(ctx, err, m.name, "was not drained before its stop, which hands over what it has")
}

// level sees the partitions spread over the replicas that serve now.
func (s *roll) level(ctx workflow.Context) error {
	if !s.controlled() || !s.plan.retires() {
		return nil
	}
	got, err := flow.Do(ctx, s.run, runbook.RebalancePartitions, s.svc.Name, runbook.RebalanceInput{Fence: s.run.Fence(flow.Service(s.svc.Name))})
	if err == nil && !got.Met {
		s.run.Find(runbook.Warning, s.svc.Name, "its partitions are not spread evenly yet")
	}
	return s.goOn(ctx, err, s.svc.Name, "nobody has said whether its partitions are spread evenly")
}

// goOn goes on without a step that failed, unless the run is to stop: it is said.
func (s *roll) goOn(ctx workflow.Context, err error, target, what string) error {
	if err == nil {
		return nil
	}
	if stop := s.run.Safe(ctx); stop != nil {
		return stop
	}
	s.run.Find(runbook.Warning, target, what+": "+runbook.Reason(err))
	return nil
}

// resume lets old replicas that were drained take their share again. One that was started
// anew has never been told to drain, and says so.
func (s *roll) resume(ctx workflow.Context) error {
	for _, m := range append([]member(nil), s.aside...) {
		if _, err := flow.Reverting(ctx, s.run, runbook.ResumeReplica, m.name, s.orchestrator(m)); err != nil {
			return err
		}
		s.aside = without(s.aside, m.id)
	}
	return nil
}

func (s *roll) orchestrator(m member) runbook.OrchestratorInput {
	return runbook.OrchestratorInput{
		Fence: s.run.Fence(flow.Service(s.svc.Name)), Replica: m.ip, Name: m.name, Deadline: min(s.svc.Drain, runbook.ControlMost),
	}
}

// mayHaveBegun says whether a failed step may have had its effect: not where nobody took it
// up, or who did refused it.
func mayHaveBegun(err error) bool {
	var timeout *temporal.TimeoutError
	if errors.As(err, &timeout) && timeout.TimeoutType() == enums.TIMEOUT_TYPE_SCHEDULE_TO_START {
		return false
	}
	switch runbook.KindOf(err) {
	case runbook.Refused, runbook.Missing, runbook.Unsafe:
		return false
	case runbook.Corrupt, runbook.Busy, runbook.Unreachable, runbook.NotYet:
		return true
	default:
		return true
	}
}

// retires says whether an old replica is to go.
func (r serviceRoll) retires() bool {
	for _, s := range r.Slots {
		if s.Old != nil {
			return true
		}
	}
	return false
}
