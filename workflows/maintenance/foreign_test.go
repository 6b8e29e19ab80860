package maintenance

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

const noProxy = "no proxy in the policy"

// bareWorld makes a world of a stack that has no proxy, no database and no metrics: its
// app has users that nothing can move, its worker tells nobody what it does.
func bareWorld(t *testing.T) *world {
	w := newWorld(t)
	w.policy = func(out *runbook.LoadPolicyOutput) {
		out.Policy.Proxy, out.Policy.Database, out.Policy.Metrics = runbook.ProxyPolicy{}, runbook.DatabasePolicy{}, runbook.MetricsPolicy{}
		for i := range out.Stack.Services {
			out.Stack.Services[i].Bars = []string{noProxy}
		}
	}
	return w
}

func names(report runbook.Report) map[string]runbook.StepOutcome {
	out := map[string]runbook.StepOutcome{}
	for _, s := range report.Steps {
		out[s.Name] = s.Outcome
	}
	return out
}

// The weekly page does what the stack has something for, and says what it left out.
func TestWeeklyMaintenanceOfAStackWithLittle(t *testing.T) {
	for _, plan := range []bool{true, false} {
		t.Run(fmt.Sprintf("plan %t", plan), func(t *testing.T) {
			w := bareWorld(t)
			before := w.picture()
			report, err := w.run(WeeklyMaintenance.Name, WeeklyMaintenanceInput{Options: runbook.Options{Plan: plan}})
			require.NoError(t, err)
			want := runbook.Succeeded
			if plan {
				want = runbook.Planned
			}
			require.Equal(t, want, report.Outcome, report.Reason)
			require.Empty(t, w.acts, "nothing that users would feel")
			require.Equal(t, before, w.picture())
			did := names(report)
			require.Equal(t, runbook.StepSkipped, did[DatabaseMaintenance.Name])
			require.Contains(t, did, runbook.ListLogs.Name)
			for _, never := range []string{
				runbook.ObserveProxy.Name, runbook.MeasureTraffic.Name, runbook.ObserveDatabase.Name, runbook.OpenSilence.Name, runbook.Watch.Name,
			} {
				require.NotContains(t, did, never)
			}
			said := fmt.Sprint(report.Findings)
			require.Contains(t, said, "found, not rolled (the registry has a newer image): "+noProxy)
			if !plan {
				require.Contains(t, said, "without a proxy nobody has counted what users saw of the run")
			}
		})
	}
}

func TestARollThatCanRollNothingIsRefused(t *testing.T) {
	for name, in := range map[string]RollingRestartInput{
		"asked for all": {}, "planned": {Options: runbook.Options{Plan: true}}, "named": {Services: []string{hub}},
	} {
		t.Run(name, func(t *testing.T) {
			w := bareWorld(t)
			report, err := w.run(RollingRestart.Name, in)
			require.NoError(t, err)
			require.Equal(t, runbook.RefusedRun, report.Outcome)
			require.Contains(t, report.Reason, hub)
			require.Contains(t, report.Reason, noProxy)
			require.Empty(t, w.acts)
		})
	}
	w := bareWorld(t)
	w.digest = oldDigest
	report, err := w.run(RollingRestart.Name, RollingRestartInput{})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome, "where nothing has to be rolled there is nothing to refuse")
}

func TestDatabaseMaintenanceWithoutADatabaseIsRefused(t *testing.T) {
	w := bareWorld(t)
	report, err := w.run(DatabaseMaintenance.Name, DatabaseMaintenanceInput{})
	require.NoError(t, err)
	require.Equal(t, runbook.RefusedRun, report.Outcome)
	require.Contains(t, report.Reason, "add a database section to runbook.yaml")
}

// Without metrics and without a database a stack behind a proxy rolls and scales as
// any other: there is nothing to silence, and no budget of connections.
func TestAStackWithAProxyAloneRolls(t *testing.T) {
	alone := func() *world {
		w := newWorld(t)
		w.policy = func(out *runbook.LoadPolicyOutput) {
			out.Policy.Database, out.Policy.Metrics = runbook.DatabasePolicy{}, runbook.MetricsPolicy{}
		}
		return w
	}
	w := alone()
	report, err := w.run(WeeklyMaintenance.Name, WeeklyMaintenanceInput{})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	require.Equal(t, newImage, w.tags["reg/hub:2"])
	require.Len(t, report.Traffic, 2)
	require.NotContains(t, names(report), runbook.OpenSilence.Name)

	w = alone()
	report, err = w.run(ScaleService.Name, ScaleServiceInput{Service: hub, Replicas: 3})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	require.NotContains(t, names(report), runbook.ObserveDatabase.Name)
}

// What runs to its end is rolled by nobody, and missed by nobody.
func TestWhatRunsOnceIsNotRolled(t *testing.T) {
	w := newWorld(t)
	w.policy = func(out *runbook.LoadPolicyOutput) {
		out.Stack.Services = append(out.Stack.Services, runbook.Service{Name: "migrate", Role: runbook.RoleWorker, Replicas: 1, Image: "reg/engine:2", Once: true})
	}
	report, err := w.run(RollingRestart.Name, RollingRestartInput{})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	require.NotContains(t, fmt.Sprint(w.acts), "migrate")
	report, err = w.run(RollingRestart.Name, RollingRestartInput{Services: []string{"migrate"}})
	require.NoError(t, err)
	require.Equal(t, runbook.RefusedRun, report.Outcome)
	require.Contains(t, report.Reason, "migrate runs once and ends by itself")
}

// A worker that nobody gives work cannot be proven, and is put back.
func TestAWorkerWithoutAProxyIsProvenByItsUsersAlone(t *testing.T) {
	w := newWorld(t)
	w.policy = func(out *runbook.LoadPolicyOutput) { out.Policy.Proxy = runbook.ProxyPolicy{} }
	report, err := w.run(RollingRestart.Name, RollingRestartInput{Services: []string{engine}})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)

	w = newWorld(t)
	w.silent = true
	w.policy = func(out *runbook.LoadPolicyOutput) { out.Policy.Proxy = runbook.ProxyPolicy{} }
	before := w.picture()
	report, err = w.run(RollingRestart.Name, RollingRestartInput{Services: []string{engine}})
	require.Error(t, err)
	require.Equal(t, runbook.Reverted, report.Outcome)
	require.Contains(t, report.Reason, "the policy names no proxy")
	require.Equal(t, before, w.picture())
}
