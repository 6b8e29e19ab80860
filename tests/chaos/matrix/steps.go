package matrix

import (
	"fmt"

	"github.com/leanvibe/hive/workflows/runbook"
)

// effects are what the steps do to the world, by wire name. A step that a run meets and that is not here is an error:
// whether it writes must be said before it is killed.
var effects = map[string]runbook.Effect{}

func know[In, Out any](steps ...runbook.Step[In, Out]) {
	for _, s := range steps {
		effects[s.Name] = s.Effect
	}
}

func init() {
	know(runbook.LoadPolicy)
	know(runbook.TakeCensus)
	know(runbook.ResolveImage)
	know(runbook.PullImage)
	know(runbook.TagImage)
	know(runbook.CreateReplica)
	know(runbook.AwaitHealthy)
	know(runbook.WatchReplica)
	know(runbook.StopReplica)
	know(runbook.StartReplica)
	know(runbook.RemoveReplica)
	know(runbook.ListReclaimable)
	know(runbook.RemoveReclaimable)
	know(runbook.MeasureContainers)
	know(runbook.ObserveProxy)
	know(runbook.SetUpstream)
	know(runbook.AwaitTraffic, runbook.AwaitQuiet)
	know(runbook.MeasureWindow)
	know(runbook.MeasureTraffic)
	know(runbook.Ask)
	know(runbook.AskAll)
	know(runbook.AwaitAnswer)
	know(runbook.SupplyTraffic)
	know(runbook.Watch)
	know(runbook.AwaitTaskTaken, runbook.DrainWorker, runbook.ResumeWorker, runbook.AwaitIdle)
	know(runbook.ObserveDatabase)
	know(runbook.MeasureBloat)
	know(runbook.VacuumTable, runbook.RebuildIndex, runbook.DropLeftover)
	know(runbook.ObserveCache)
	know(runbook.QueryMetrics)
	know(runbook.ObserveMetrics)
	know(runbook.ListAlerts)
	know(runbook.OpenSilence)
	know(runbook.CloseSilence)
	know(runbook.MeasureHost)
	know(runbook.ListLogs)
	know(runbook.CompressLog, runbook.DeleteLog)
	know(runbook.WriteArtefact)
	know(runbook.SendNotice)
	know(runbook.ReadLedgerHead)
	know(runbook.AwaitLock)
	know(runbook.ObserveSchedules)
}

// effectOf says what a step does, or that nobody has said it.
func effectOf(step string) (runbook.Effect, error) {
	e, known := effects[step]
	if !known {
		return e, fmt.Errorf("step %s is not in tests/chaos/matrix/steps.go: add it there, so that the kit knows whether it writes", step)
	}
	return e, nil
}
