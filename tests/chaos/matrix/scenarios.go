package matrix

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

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
	{"date that had its run", bench.Start{}, scheduledAgain},
	{"week", bench.Start{Web: bench.Newer, Job: bench.Newer}, of(maintenance.WeeklyMaintenance, func(int) maintenance.WeeklyMaintenanceInput {
		return maintenance.WeeklyMaintenanceInput{}
	})},
}

// scheduledAgain has a schedule fire for a date whose run is over: people are told that nothing was started.
func scheduledAgain(ctx context.Context, c client.Client, _ int) (client.WorkflowRun, error) {
	s := runbook.SchedulePolicy{ID: "daily", Procedure: health.ReadinessCheck.Name, Every: "day", At: "00:00", Timezone: "UTC", CatchUp: runbook.Duration(24 * time.Hour)}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	options := client.StartWorkflowOptions{ID: s.RunID(today.Format(time.DateOnly)), TaskQueue: runbook.TaskQueue}
	first, err := c.ExecuteWorkflow(ctx, options, schedule.MissedRun.Name, nil) // any run of that name will do; this one refuses its input at once
	if err != nil {
		return nil, err
	}
	var refused *temporal.WorkflowExecutionError
	if err := first.Get(ctx, nil); err != nil && !errors.As(err, &refused) {
		return nil, err
	}
	return c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: schedule.IDPrefix + s.ID, TaskQueue: runbook.TaskQueue,
		TypedSearchAttributes: temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyTime("TemporalScheduledStartTime").ValueSet(today)),
	}, schedule.ScheduledRun.Name, schedule.ScheduledRunInput{Schedule: s, Notify: runbook.NotifyPolicy{File: "out/notifications.log"}})
}

// of starts a procedure with the input for a bench.
func of[In runbook.Validator, Out any](p runbook.Procedure[In, Out], input func(n int) In) func(context.Context, client.Client, int) (client.WorkflowRun, error) {
	return func(ctx context.Context, c client.Client, n int) (client.WorkflowRun, error) {
		return p.Start(ctx, c, input(n))
	}
}

func numbered(service string, n int) string { return service + string(rune('0'+n)) }
