package maintenance

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/leanvibe/hive/workflows/runbook"
)

// outcome takes the report out of a run, however it ended.
func outcome(t *testing.T, env *testsuite.TestWorkflowEnvironment) (runbook.Report, error) {
	t.Helper()
	var report runbook.Report
	err := env.GetWorkflowError()
	if err == nil {
		require.NoError(t, env.GetWorkflowResult(&report))
		return report, nil
	}
	var app *temporal.ApplicationError
	var stopped *temporal.CanceledError
	switch {
	case errors.As(err, &app) && app.HasDetails():
		require.NoError(t, app.Details(&report))
	case errors.As(err, &stopped) && stopped.HasDetails():
		require.NoError(t, stopped.Details(&report))
	}
	return report, err
}

func TestRollReplacesEverythingAndMovesTheTagLast(t *testing.T) {
	w := newWorld(t)
	report, err := w.run(RollingRestart.Name, RollingRestartInput{})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	require.Len(t, w.census().Containers, 4)
	for _, c := range w.census().Containers {
		require.Equal(t, newImage, c.ImageID)
		require.Equal(t, "running", c.State)
	}
	require.Equal(t, newImage, w.tags["reg/hub:2"])
	require.Equal(t, oldImage, w.tags["hive-rollback/communication-hub:0000old"])
	require.NotEmpty(t, report.Plan.Hash)
	require.Len(t, report.Traffic, 2, "nginx's log and the probe")
	stopped, tagged := 0, 0
	for i, act := range w.acts {
		if len(act) > 4 && act[:4] == "stop" {
			stopped = i
		}
		if act == "tag reg/hub:2" {
			tagged = i
		}
	}
	require.Greater(t, tagged, stopped)
}

func TestRollWithNothingToDo(t *testing.T) {
	w := newWorld(t)
	w.digest = oldDigest
	before := w.picture()
	report, err := w.run(RollingRestart.Name, RollingRestartInput{})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome)
	require.Empty(t, report.Plan.Changes)
	require.Empty(t, w.acts)
	require.Equal(t, before, w.picture())
}

func TestPlanChangesNothingAndHashesTheSame(t *testing.T) {
	first := ""
	for range 2 {
		w := newWorld(t)
		report, err := w.run(RollingRestart.Name, RollingRestartInput{Options: runbook.Options{Plan: true}})
		require.NoError(t, err)
		require.Equal(t, runbook.Planned, report.Outcome)
		require.NotEmpty(t, report.Plan.Changes)
		require.Empty(t, w.acts)
		if first == "" {
			first = report.Plan.Hash
		}
		require.Equal(t, first, report.Plan.Hash)
	}
}

func TestBadImagesRevert(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"never healthy":      func(w *world) { w.never = true },
		"dies in its window": func(w *world) { w.crashes = true },
		"answers 5xx":        func(w *world) { w.errors5xx = true },
		"gets no traffic":    func(w *world) { w.silent = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			spoil(w)
			before := w.picture()
			report, err := w.run(RollingRestart.Name, RollingRestartInput{})
			require.Error(t, err)
			require.Equal(t, runbook.Reverted, report.Outcome, report.Reason)
			require.NotEmpty(t, report.Reason)
			require.Equal(t, before, w.picture())
		})
	}
}

// A supply that died with its worker is made again, a bounded number of times.
func TestSupplyIsMadeAgain(t *testing.T) {
	// The window beside the last supply may have been measured before it.
	for supplies, outcome := range map[int]runbook.Outcome{0: runbook.Succeeded, supplyRounds - 1: runbook.Succeeded, supplyRounds + 1: runbook.Reverted} {
		w := newWorld(t)
		w.thirsty = supplies
		report, err := w.run(RollingRestart.Name, RollingRestartInput{})
		require.Equal(t, outcome == runbook.Succeeded, err == nil)
		require.Equal(t, outcome, report.Outcome, report.Reason)
	}
}

// TestEveryActMayFail plants a final failure at each act of a roll in turn: the run
// ends reverted with the world as it was, or, once the old replicas begin to go,
// failed with everybody served.
func TestEveryActMayFail(t *testing.T) {
	whole := newWorld(t)
	_, err := whole.run(RollingRestart.Name, RollingRestartInput{})
	require.NoError(t, err)
	require.Greater(t, len(whole.acts), 20)
	for k := 1; k <= len(whole.acts); k++ {
		for _, moving := range []bool{false, true} { // replicas that compose made come back at other addresses
			t.Run(fmt.Sprintf("%02d moving %t", k, moving), func(t *testing.T) {
				w := newWorld(t)
				w.failAt, w.moving = k, moving
				before := w.picture()
				report, err := w.run(RollingRestart.Name, RollingRestartInput{})
				require.Error(t, err)
				if report.Outcome == runbook.Failed {
					require.Contains(t, w.acts[k-1], "remove ", "only a clean-up that fails after the tags have moved is not put back")
					require.Equal(t, 2, w.serving())
					return
				}
				require.Equal(t, runbook.Reverted, report.Outcome, report.Reason)
				require.Equal(t, before, w.picture(), "acts: %v", w.acts)
				require.Equal(t, 2, w.serving())
			})
		}
	}
}

// TestAbortAtEveryAct asks the run to stop during each act in turn.
func TestAbortAtEveryAct(t *testing.T) {
	whole := newWorld(t)
	_, err := whole.run(RollingRestart.Name, RollingRestartInput{})
	require.NoError(t, err)
	for k := 1; k <= len(whole.acts); k++ {
		t.Run(fmt.Sprintf("%02d", k), func(t *testing.T) {
			w := newWorld(t)
			before := w.picture()
			report, err := w.run(RollingRestart.Name, RollingRestartInput{}, func(env *testsuite.TestWorkflowEnvironment) {
				w.onAct = func(n int) {
					if n == k {
						env.CancelWorkflow()
					}
				}
			})
			if err == nil || w.tags["reg/hub:2"] == newImage { // asked after the last safe point, or in the clean-up
				require.Equal(t, 2, w.serving())
				return
			}
			require.Equal(t, runbook.Aborted, report.Outcome, report.Reason)
			require.Equal(t, before, w.picture(), "acts: %v", w.acts)
		})
	}
}

func TestAnImageThatIgnoresSIGTERMIsNamed(t *testing.T) {
	w := newWorld(t)
	w.killed = true
	report, err := w.run(RollingRestart.Name, RollingRestartInput{Services: []string{hub}})
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(report.Findings), "ignored SIGTERM and was killed at its grace time of 10s")
}

func TestALeftoverOfAnEndedRunIsCleared(t *testing.T) {
	w := newWorld(t)
	w.digest = oldDigest
	left := w.put(hub, 3, newImage, "10.0.9.9")
	left.Run, left.State = "rolling-restart/earlier", "exited"
	report, err := w.run(RollingRestart.Name, RollingRestartInput{})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome)
	require.Equal(t, []string{"remove leanvibe-communication-hub-3"}, w.acts)
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		in   RollingRestartInput
		want string
	}{
		"an unknown service": {RollingRestartInput{Services: []string{"hub"}}, `the compose file has no service "hub"; it has communication-hub, specialized-engines`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			report, err := w.run(RollingRestart.Name, c.in)
			require.NoError(t, err)
			require.Equal(t, runbook.RefusedRun, report.Outcome)
			require.Contains(t, report.Reason, c.want)
			require.Empty(t, w.acts)
		})
	}
}

func TestScaleUpAndDown(t *testing.T) {
	w := newWorld(t)
	report, err := w.run(ScaleService.Name, ScaleServiceInput{Service: hub, Replicas: 3})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	require.Equal(t, 3, w.serving())
	report, err = w.run(ScaleService.Name, ScaleServiceInput{Service: hub, Replicas: 2})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	require.Equal(t, 2, w.serving())
	require.Equal(t, oldImage, w.tags["reg/hub:2"], "a scale moves no tag")
	require.Len(t, w.census().Of(hub), 2)
}

func TestScaleWithoutAServiceShowsWhatCanBe(t *testing.T) {
	w := newWorld(t)
	report, err := w.run(ScaleService.Name, ScaleServiceInput{})
	require.NoError(t, err)
	require.Equal(t, runbook.Planned, report.Outcome)
	require.Contains(t, fmt.Sprint(report.Findings), `{"service":"communication-hub","replicas":3}`)
}

func TestDatabaseMaintenanceSkipsTheBlockedAndNamesTheBlocker(t *testing.T) {
	w := newWorld(t)
	w.db.bloat = runbook.Bloat{FreeBytes: -1, Indexes: []runbook.IndexState{
		{Schema: "public", Table: "t", Name: "bloated", Bytes: 1 << 21, LeafDensity: 30, Valid: true, Rebuildable: true, Method: "btree"},
		{Schema: "public", Table: "t", Name: "blocked", Bytes: 1 << 21, LeafDensity: 20, Valid: true, Rebuildable: true, Method: "btree"},
		{Schema: "public", Table: "t", Name: "dense", Bytes: 1 << 21, LeafDensity: 90, Valid: true, Rebuildable: true, Method: "btree"},
	}}
	w.db.answers = map[string]runbook.Maintained{"blocked": {Outcome: "skipped", Why: "an old transaction", Blocker: &runbook.Query{PID: 4711, User: "bob", Age: runbook.Duration(2 * time.Hour), Text: "select 1"}}}
	report, err := w.run(DatabaseMaintenance.Name, DatabaseMaintenanceInput{})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	require.ElementsMatch(t, []string{"bloated", "blocked"}, w.db.cared)
	require.Contains(t, fmt.Sprint(report.Findings), "pid 4711 of bob")
	require.Len(t, report.Plan.Differences, 1)
}

func TestDatabaseMaintenanceStopsAtTheEndOfItsWindow(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		w.db.bloat.Indexes = append(w.db.bloat.Indexes, runbook.IndexState{Schema: "public", Table: "t", Name: fmt.Sprintf("i%d", i), Bytes: 1 << 21,
			LeafDensity: 30, Valid: true, Rebuildable: true, Method: "btree"})
	}
	w.db.bloat.FreeBytes = -1
	w.db.answers = map[string]runbook.Maintained{"i0": {Outcome: "stopped", Why: "the window ended"}}
	report, err := w.run(DatabaseMaintenance.Name, DatabaseMaintenanceInput{})
	require.NoError(t, err)
	require.Equal(t, []string{"i0"}, w.db.cared)
	require.Contains(t, fmt.Sprint(report.Findings), "2 objects: the window ended; it waits for the next run")
}

func TestWeeklyMaintenanceIsAllOfIt(t *testing.T) {
	w := newWorld(t)
	report, err := w.run(WeeklyMaintenance.Name, WeeklyMaintenanceInput{})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	require.Equal(t, newImage, w.tags["reg/hub:2"])
	names := map[string]bool{}
	for _, s := range report.Steps {
		names[s.Name] = true
	}
	for _, want := range []string{runbook.CreateReplica.Name, runbook.MeasureBloat.Name, runbook.ListLogs.Name, runbook.MeasureTraffic.Name} {
		require.True(t, names[want], want)
	}
}

func TestWeeklyMaintenanceEndsAsItsRollDoes(t *testing.T) {
	w := newWorld(t)
	w.never = true
	before := w.picture()
	report, err := w.run(WeeklyMaintenance.Name, WeeklyMaintenanceInput{})
	require.Error(t, err)
	require.Equal(t, runbook.Reverted, report.Outcome)
	require.Contains(t, report.Reason, "never healthy")
	require.Equal(t, before, w.picture())
}
