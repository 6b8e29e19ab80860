package operations

import (
	"context"

	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workers/operations/schedules"
	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/health"
	"github.com/leanvibe/hive/workflows/maintenance"
	"github.com/leanvibe/hive/workflows/runbook"
	"github.com/leanvibe/hive/workflows/schedule"
)

// registry is what procedures and steps are bound to: a Temporal worker, or a test
// environment.
type registry interface {
	runbook.Registry
	runbook.WorkflowRegistry
}

// bind is the table of contents: every procedure with its body, every step with its
// hand. It is the only place where the two meet.
func bind(r registry, s *steps, h hands) {
	Procedures(r)

	step(r, s, runbook.LoadPolicy, h.policy.Load)

	step(r, s, runbook.TakeCensus, h.docker.TakeCensus)
	step(r, s, runbook.ResolveImage, h.docker.ResolveImage)
	step(r, s, runbook.PullImage, h.docker.PullImage)
	step(r, s, runbook.TagImage, h.docker.TagImage)
	step(r, s, runbook.CreateReplica, h.docker.CreateReplica)
	step(r, s, runbook.AwaitHealthy, h.docker.AwaitHealthy)
	step(r, s, runbook.WatchReplica, h.docker.WatchReplica)
	step(r, s, runbook.StopReplica, h.docker.StopReplica)
	step(r, s, runbook.StartReplica, h.docker.StartReplica)
	step(r, s, runbook.RemoveReplica, h.docker.RemoveReplica)
	step(r, s, runbook.ListReclaimable, h.docker.ListReclaimable)
	step(r, s, runbook.RemoveReclaimable, h.docker.RemoveReclaimable)
	step(r, s, runbook.MeasureContainers, h.docker.Measure)

	step(r, s, runbook.ObserveProxy, h.proxy.Observe)
	step(r, s, runbook.SetUpstream, h.proxy.SetUpstream)
	step(r, s, runbook.AwaitTraffic, h.proxy.AwaitTraffic)
	step(r, s, runbook.AwaitQuiet, h.proxy.AwaitQuiet)
	step(r, s, runbook.MeasureWindow, h.proxy.MeasureWindow)
	step(r, s, runbook.MeasureTraffic, h.proxy.MeasureTraffic)

	step(r, s, runbook.Ask, h.probe.Ask)
	step(r, s, runbook.AskAll, h.probe.AskAll)
	step(r, s, runbook.AwaitAnswer, h.probe.AwaitAnswer)
	step(r, s, runbook.SupplyTraffic, h.probe.Supply)
	step(r, s, runbook.Watch, h.probe.Watch)
	step(r, s, runbook.AwaitTaskTaken, h.probe.AwaitTaskTaken)
	step(r, s, runbook.DrainWorker, h.probe.Drain)
	step(r, s, runbook.ResumeWorker, h.probe.Resume)
	step(r, s, runbook.AwaitIdle, h.probe.AwaitIdle)

	step(r, s, runbook.ObserveDatabase, h.postgres.Observe)
	step(r, s, runbook.MeasureBloat, h.postgres.MeasureBloat)
	step(r, s, runbook.VacuumTable, h.postgres.VacuumTable)
	step(r, s, runbook.RebuildIndex, h.postgres.RebuildIndex)
	step(r, s, runbook.DropLeftover, h.postgres.DropLeftover)

	step(r, s, runbook.ObserveCache, h.redis.Observe)

	step(r, s, runbook.QueryMetrics, h.prometheus.Query)
	step(r, s, runbook.ObserveMetrics, h.prometheus.Observe)
	step(r, s, runbook.ListAlerts, h.alertmanager.List)
	step(r, s, runbook.OpenSilence, h.alertmanager.Open)
	step(r, s, runbook.CloseSilence, h.alertmanager.Close)

	step(r, s, runbook.MeasureHost, h.host.Measure)
	step(r, s, runbook.ListLogs, h.host.List)
	step(r, s, runbook.CompressLog, h.host.Compress)
	step(r, s, runbook.DeleteLog, h.host.Delete)
	step(r, s, runbook.WriteArtefact, h.host.WriteArtefact)

	step(r, s, runbook.SendNotice, h.notify.Send)

	step(r, s, runbook.ReadLedgerHead, h.ledger.ReadHead)

	step(r, s, runbook.AwaitLock, h.temporal.Await)
	step(r, s, runbook.ObserveSchedules, h.schedules.Observe)
}

// Procedures binds every procedure to its body, and the lock.
func Procedures(r runbook.WorkflowRegistry) {
	r.RegisterWorkflowWithOptions(flow.Lock, workflow.RegisterOptions{Name: flow.LockName})

	health.ReadinessCheck.Bind(r, health.RunReadinessCheck)
	maintenance.WeeklyMaintenance.Bind(r, maintenance.RunWeeklyMaintenance)
	maintenance.RollingRestart.Bind(r, maintenance.RunRollingRestart)
	maintenance.ScaleService.Bind(r, maintenance.RunScaleService)
	maintenance.DatabaseMaintenance.Bind(r, maintenance.RunDatabaseMaintenance)
	maintenance.LogManagement.Bind(r, maintenance.RunLogManagement)

	schedule.ScheduledRun.Bind(r, schedule.RunScheduledRun)
	schedule.MissedRun.Bind(r, schedule.RunMissedRun)
}

// Scheduled are the procedures that the policy's schedules may name.
func Scheduled() []schedules.Procedure {
	return []schedules.Procedure{
		schedules.Of(health.ReadinessCheck), schedules.Of(maintenance.WeeklyMaintenance), schedules.Of(maintenance.RollingRestart),
		schedules.Of(maintenance.ScaleService), schedules.Of(maintenance.DatabaseMaintenance), schedules.Of(maintenance.LogManagement),
	}
}

// step binds a step to its hand, and tells the interceptor what it does to the world.
func step[In, Out any](r registry, s *steps, step runbook.Step[In, Out], hand func(context.Context, In) (Out, error)) {
	s.know(step.Name, step.Effect)
	step.Bind(r, hand)
}
