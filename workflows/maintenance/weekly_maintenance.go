package maintenance

import (
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/health"
	"github.com/leanvibe/hive/workflows/runbook"
)

// RunWeeklyMaintenance is WeeklyMaintenance's body: the runbook's page, line by
// line, as other procedures under one set of locks.
func RunWeeklyMaintenance(ctx workflow.Context, in WeeklyMaintenanceInput) (runbook.Report, error) {
	return flow.Conduct(ctx, flow.Frame{Name: WeeklyMaintenance.Name, Options: in.Options, Files: files(WeeklyMaintenance.ID(in))},
		func(ctx workflow.Context, r *flow.Run) error {
			services, err := chosen(r.Stack, nil)
			if err != nil {
				return err
			}
			if !in.Plan {
				if err := r.Take(ctx, weeklyLocks(r, services)...); err != nil {
					return err
				}
			}
			under := in.Child(r.Loaded(), r.Held())
			// System Updates: 1. pull, 2. restart with new images, 3. verify health.
			if _, err := flow.Child(ctx, r, RollingRestart, RollingRestartInput{Options: under}); err != nil {
				return err
			}
			// Database Maintenance: vacuum, analyze, reindex if needed, bloat.
			if !r.Policy.Database.Declared() {
				r.Skip(ctx, DatabaseMaintenance.Name, "database", noDatabase)
			} else if _, err := flow.Child(ctx, r, DatabaseMaintenance, DatabaseMaintenanceInput{Options: under}); err != nil {
				return err
			}
			// Log Management: compress, delete, docker clean-up.
			if _, err := flow.Child(ctx, r, LogManagement, LogManagementInput{Options: under}); err != nil {
				return err
			}
			if in.Plan {
				return flow.ErrPlanned
			}
			changed := workflow.Now(ctx)
			if _, err := flow.Child(ctx, r, health.ReadinessCheck, health.ReadinessCheckInput{Options: under}); err != nil {
				return err
			}
			r.Phase(ctx, "measuring the run")
			return measure(ctx, r, changed)
		})
}

// noDatabase is why a part of the page has nothing to work on.
const noDatabase = "not in the policy: the stack has no database section"

// weeklyLocks are the locks of every part, taken once.
func weeklyLocks(r *flow.Run, services []runbook.Service) []string {
	locks := append(rollLocks(WeeklyMaintenance.Name, services),
		flow.Procedure(RollingRestart.Name), flow.Procedure(DatabaseMaintenance.Name), flow.Procedure(LogManagement.Name), flow.Logs)
	if r.Policy.Database.Declared() {
		locks = append(locks, flow.Database(r.Policy.Database.Name))
	}
	return locks
}
