package adopt

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/health"
	"github.com/leanvibe/hive/workflows/maintenance"
	"github.com/leanvibe/hive/workflows/runbook"
)

// hands answer for a stack that runs as its files say, of which every image has a
// newer one, and which needs no care of its database and logs.
func hands(r runbook.Registry, loaded runbook.LoadPolicyOutput) {
	var census runbook.Census
	routed := map[string][]string{}
	for i, svc := range loaded.Stack.Services {
		for n := range svc.Replicas {
			c := runbook.Container{
				ID: fmt.Sprintf("%s-%d", svc.Name, n+1), Name: fmt.Sprintf("%s-%s-%d", loaded.Stack.Project, svc.Name, n+1), Service: svc.Name, Number: n + 1,
				State: "running", Address: fmt.Sprintf("172.20.%d.%d", i, n+2), ImageID: "sha256:old", ConfigHash: svc.ConfigHash, LogLimited: true,
			}
			census.Containers = append(census.Containers, c)
			if svc.Upstream != "" {
				routed[svc.Upstream] = append(routed[svc.Upstream], fmt.Sprintf("%s:%d", c.Address, svc.Probe.Port))
			}
		}
	}
	runbook.LoadPolicy.Bind(r, func(context.Context, runbook.LoadPolicyInput) (runbook.LoadPolicyOutput, error) { return loaded, nil })
	runbook.TakeCensus.Bind(r, func(context.Context, runbook.CensusInput) (runbook.Census, error) { return census, nil })
	runbook.ResolveImage.Bind(r, func(_ context.Context, in runbook.ResolveImageInput) (runbook.ResolvedImage, error) {
		return runbook.ResolvedImage{Image: in.Image, Source: "local", LocalID: "sha256:new"}, nil
	})
	runbook.ObserveProxy.Bind(r, func(context.Context, runbook.ProxyInput) (runbook.ProxyState, error) {
		return runbook.ProxyState{Upstreams: routed}, nil
	})
	runbook.ObserveDatabase.Bind(r, func(context.Context, runbook.DatabaseInput) (runbook.DatabaseState, error) {
		return runbook.DatabaseState{}, nil
	})
	runbook.MeasureBloat.Bind(r, func(context.Context, runbook.DatabaseInput) (runbook.Bloat, error) { return runbook.Bloat{}, nil })
	runbook.ListLogs.Bind(r, func(context.Context, runbook.LogsInput) (runbook.LogFiles, error) {
		return runbook.LogFiles{Now: time.Now()}, nil
	})
	runbook.ListReclaimable.Bind(r, func(context.Context, runbook.ReclaimInput) (runbook.ReclaimList, error) {
		return runbook.ReclaimList{}, nil
	})
	runbook.ReadLedgerHead.Bind(r, func(context.Context, runbook.LedgerInput) (runbook.LedgerHead, error) {
		return runbook.LedgerHead{}, nil
	})
}

// patience bounds what must come, on a machine that may stand still for a while.
const patience = 5 * time.Minute

// plan is the plan of a procedure on a stack as it was written.
func plan(t *testing.T, loaded runbook.LoadPolicyOutput, procedure string, in any) runbook.Report {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(patience)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: patience})
	env.RegisterWorkflowWithOptions(flow.Lock, workflow.RegisterOptions{Name: flow.LockName})
	health.ReadinessCheck.Bind(env, health.RunReadinessCheck)
	maintenance.WeeklyMaintenance.Bind(env, maintenance.RunWeeklyMaintenance)
	maintenance.RollingRestart.Bind(env, maintenance.RunRollingRestart)
	maintenance.DatabaseMaintenance.Bind(env, maintenance.RunDatabaseMaintenance)
	maintenance.LogManagement.Bind(env, maintenance.RunLogManagement)
	hands(env, loaded)
	env.ExecuteWorkflow(procedure, in)
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	var report runbook.Report
	require.NoError(t, env.GetWorkflowResult(&report))
	return report
}

// The weekly page of each stack, from the files that hive init wrote: what can be
// rolled is rolled, what cannot is named with its reason.
func TestTheWeeklyPlanOfEachStack(t *testing.T) {
	for name, c := range map[string]struct {
		rolled   []string
		barred   map[string]string
		database bool
	}{
		"pair":  {rolled: []string{"web"}, database: true},
		"shop":  {rolled: []string{"web"}, database: true, barred: map[string]string{"queue": "no x-hive.probe", "clock": "no x-hive.probe"}},
		"fixed": {rolled: []string{"api", "frontend"}, database: true, barred: map[string]string{"admin": "no x-hive.proxy.upstream"}},
		"plain": {barred: map[string]string{"app": "no proxy in the policy: its users are connected to this very container"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, dir := look(t, name)
			require.NoError(t, p.Write())
			loaded := throughPolicy(t, dir)
			options := runbook.Options{Plan: true}
			report := plan(t, loaded, maintenance.WeeklyMaintenance.Name, maintenance.WeeklyMaintenanceInput{Options: options})
			require.Equal(t, runbook.Planned, report.Outcome, report.Reason)
			rolled := map[string]bool{}
			for _, change := range report.Plan.Changes {
				rolled[change.Target] = true
			}
			require.Len(t, rolled, len(c.rolled), "%+v", report.Plan.Changes)
			for _, service := range c.rolled {
				require.True(t, rolled[service], service)
			}
			said := map[string]string{}
			for _, f := range report.Findings {
				if strings.HasPrefix(f.What, "found, not rolled") {
					said[f.Target] = f.What
				}
			}
			require.Len(t, said, len(c.barred), "%v", said)
			for service, why := range c.barred {
				require.Contains(t, said[service], why)
			}
			again := plan(t, loaded, maintenance.WeeklyMaintenance.Name, maintenance.WeeklyMaintenanceInput{Options: options})
			require.Equal(t, report.Plan.Hash, again.Plan.Hash)

			care := plan(t, loaded, maintenance.DatabaseMaintenance.Name, maintenance.DatabaseMaintenanceInput{Options: options})
			roll := plan(t, loaded, maintenance.RollingRestart.Name, maintenance.RollingRestartInput{Options: options})
			if !c.database {
				require.Equal(t, runbook.RefusedRun, care.Outcome)
			}
			if len(c.rolled) == 0 {
				require.Equal(t, runbook.RefusedRun, roll.Outcome)
				require.Contains(t, roll.Reason, "put an nginx before it")
			} else {
				require.Equal(t, runbook.Planned, roll.Outcome)
			}
		})
	}
}
