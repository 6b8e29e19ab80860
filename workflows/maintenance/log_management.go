package maintenance

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/runbook"
)

// RunLogManagement is LogManagement's body.
func RunLogManagement(ctx workflow.Context, in LogManagementInput) (runbook.Report, error) {
	return flow.Conduct(ctx, flow.Frame{Name: LogManagement.Name, Options: in.Options, Files: files(LogManagement.ID(in))},
		func(ctx workflow.Context, r *flow.Run) error {
			if !in.Plan {
				if err := r.Take(ctx, flow.Procedure(LogManagement.Name), flow.Logs, flow.Images); err != nil {
					return err
				}
			}
			r.Phase(ctx, "listing logs and what docker may reclaim")
			policy := r.Policy.Logs
			logs, err := flow.Do(ctx, r, runbook.ListLogs, policy.Directory, runbook.LogsInput{Directory: policy.Directory})
			if err != nil {
				return err
			}
			bounds := runbook.ReclaimInput{Project: r.Stack.Project, OlderThan: policy.CleanupAfter, KeepGenerations: policy.KeepGenerations}
			list, err := flow.Do(ctx, r, runbook.ListReclaimable, r.Stack.Project, bounds)
			if err != nil {
				return err
			}
			census, err := flow.Do(ctx, r, runbook.TakeCensus, r.Stack.Project, runbook.CensusInput{Project: r.Stack.Project})
			if err != nil {
				return err
			}
			steps, findings := decideLogs(policy, logs)
			r.FindAll(findings)
			r.FindAll(unlimitedLogs(census))
			if err := r.Decided(ctx, append(logChanges(steps), decideReclaim(list)...)); err != nil {
				return err
			}
			r.Phase(ctx, "compressing and deleting logs")
			if err := tendLogs(ctx, r, steps); err != nil {
				return err
			}
			r.Phase(ctx, "reclaiming what nothing needs")
			return reclaim(ctx, r, bounds, list)
		})
}

func logChanges(steps []logStep) []runbook.Change {
	var out []runbook.Change
	for _, s := range steps {
		out = append(out, s.Change)
	}
	return out
}

func tendLogs(ctx workflow.Context, r *flow.Run, steps []logStep) error {
	for _, s := range steps {
		step := runbook.DeleteLog
		if s.Compress {
			step = runbook.CompressLog
		}
		done, err := flow.Do(ctx, r, step, s.Path, runbook.LogInput{
			Fence: r.Fence(flow.Logs), Directory: r.Policy.Logs.Directory, Path: s.Path, OlderThan: s.OlderThan,
		})
		if err != nil {
			return err
		}
		if !done.Changed && done.Why != "" {
			r.Skipped(step.Name, s.Path, done.Why)
			r.Differ(step.Name, s.Path, "planned, but left: "+done.Why)
			continue
		}
		r.Note(step.Name, s.Path, fmt.Sprintf("%d → %d bytes", done.BytesBefore, done.BytesAfter))
	}
	return nil
}

func reclaim(ctx workflow.Context, r *flow.Run, bounds runbook.ReclaimInput, list runbook.ReclaimList) error {
	for _, item := range list.Items {
		target := item.Kind + " " + item.Name
		done, err := flow.Do(ctx, r, runbook.RemoveReclaimable, target, runbook.RemoveReclaimableInput{
			Fence: r.Fence(flow.Images), Item: item, Bounds: bounds,
		})
		if err != nil {
			return err
		}
		if !done.Changed && done.Why != "" {
			r.Skipped(runbook.RemoveReclaimable.Name, target, done.Why)
			r.Differ(runbook.RemoveReclaimable.Name, target, "planned, but left: "+done.Why)
		}
	}
	return nil
}
