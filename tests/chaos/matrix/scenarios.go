package matrix

import (
	"context"

	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/tests/chaos/bench"
	"github.com/leanvibe/hive/workflows/health"
	"github.com/leanvibe/hive/workflows/maintenance"
	"github.com/leanvibe/hive/workflows/runbook"
	"github.com/leanvibe/hive/workflows/schedule"
)

// Scenario is a procedure with an input and a start that have it do something. Which steps it meets, the kit learns
// from a run in which nobody dies.
type Scenario struct {
	// Name tells it from the procedure's other scenarios.
	Name string
	// Start is what differs from the usual start.
	Start bench.Start
	// Run starts the procedure. n is the bench's number, which the names of its services end with.
	Run func(ctx context.Context, c client.Client, n int) (client.WorkflowRun, error)
}

// Scenarios are all of them. A new procedure adds a row, and is killed at every step that it meets.
var Scenarios = []Scenario{
	{"roll", bench.Start{Web: bench.Newer, Job: bench.Newer}, of(maintenance.RollingRestart, func(int) maintenance.RollingRestartInput {
		return maintenance.RollingRestartInput{}
	})},
	{"roll to a bad image", bench.Start{Web: bench.Bad, Broken: true}, of(maintenance.RollingRestart, func(n int) maintenance.RollingRestartInput {
		return maintenance.RollingRestartInput{Services: []string{numbered("web", n)}}
	})},
	{"roll a worker to a bad image", bench.Start{Job: bench.Bad, Broken: true}, of(maintenance.RollingRestart, func(n int) maintenance.RollingRestartInput {
		return maintenance.RollingRestartInput{Services: []string{numbered("job", n)}}
	})},
	{"scale up", bench.Start{}, of(maintenance.ScaleService, func(n int) maintenance.ScaleServiceInput {
		return maintenance.ScaleServiceInput{Service: numbered("web", n), Replicas: 3}
	})},
	{"scale a worker up", bench.Start{}, of(maintenance.ScaleService, func(n int) maintenance.ScaleServiceInput {
		return maintenance.ScaleServiceInput{Service: numbered("job", n), Replicas: 3}
	})},
	{"scale down", bench.Start{}, of(maintenance.ScaleService, func(n int) maintenance.ScaleServiceInput {
		return maintenance.ScaleServiceInput{Service: numbered("web", n), Replicas: 1}
	})},
	{"scale a worker down", bench.Start{}, of(maintenance.ScaleService, func(n int) maintenance.ScaleServiceInput {
		return maintenance.ScaleServiceInput{Service: numbered("job", n), Replicas: 1}
	})},
	{"database", bench.Start{}, of(maintenance.DatabaseMaintenance, func(int) maintenance.DatabaseMaintenanceInput {
		return maintenance.DatabaseMaintenanceInput{}
	})},
	{"logs", bench.Start{}, of(maintenance.LogManagement, func(int) maintenance.LogManagementInput {
		return maintenance.LogManagementInput{}
	})},
	{"readiness", bench.Start{}, of(health.ReadinessCheck, func(int) health.ReadinessCheckInput {
		return health.ReadinessCheckInput{}
	})},
	{"missed date", bench.Start{}, of(schedule.MissedRun, func(int) schedule.MissedRunInput {
		return schedule.MissedRunInput{
			Schedule: runbook.SchedulePolicy{ID: "weekly", Procedure: "WeeklyMaintenance", Every: "sunday", At: "02:00", Timezone: "UTC"},
			Notify:   runbook.NotifyPolicy{File: "out/notifications.log"}, Date: "2026-11-22", Outcome: schedule.Missed, Why: "the chaos kit says so",
		}
	})},
	{"week", bench.Start{Web: bench.Newer, Job: bench.Newer}, of(maintenance.WeeklyMaintenance, func(int) maintenance.WeeklyMaintenanceInput {
		return maintenance.WeeklyMaintenanceInput{}
	})},
}

// of starts a procedure with the input for a bench.
func of[In runbook.Validator, Out any](p runbook.Procedure[In, Out], input func(n int) In) func(context.Context, client.Client, int) (client.WorkflowRun, error) {
	return func(ctx context.Context, c client.Client, n int) (client.WorkflowRun, error) {
		return p.Start(ctx, c, input(n))
	}
}

func numbered(service string, n int) string { return service + string(rune('0'+n)) }
