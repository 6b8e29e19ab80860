package health

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/leanvibe/hive/workflows/runbook"
)

// stackSeen is what the hands see of a stack in order; a test spoils one thing.
type stackSeen struct {
	census  runbook.Census
	answers map[string]runbook.Answer
	cache   runbook.CacheState
	metrics error
	policy  func(*runbook.LoadPolicyOutput)
	proxy   runbook.ProxyState
}

func healthySeen() *stackSeen {
	hub := runbook.Container{ID: "a", Name: "leanvibe-communication-hub-1", Service: "communication-hub", Number: 1, State: "running", Health: "healthy",
		Address: "10.0.0.1", ConfigHash: "h", LogLimited: true, ImageID: "i"}
	return &stackSeen{
		census: runbook.Census{Containers: []runbook.Container{hub}},
		answers: map[string]runbook.Answer{
			"http://proxy/health":         {Status: 200, Instance: "hub-1"},
			"http://10.0.0.1:8082/readyz": {Status: 200, Instance: "hub-1"},
		},
		cache: runbook.CacheState{SlotsCovered: 16384, Written: true, Nodes: []runbook.CacheNode{{Service: "redis-node1", Role: "master", Slots: 16384, LinkUp: true}}},
		proxy: runbook.ProxyState{Version: "1.30.0", KeepaliveMin: true, Upstreams: map[string][]string{"communication-hub": {"10.0.0.1:8082"}}},
	}
}

// patience bounds what a workflow or a step does at a stretch, on a machine that may stand still for a while.
const patience = 5 * time.Minute

func (s *stackSeen) check(t *testing.T) runbook.Report {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(patience)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: patience})
	ReadinessCheck.Bind(env, RunReadinessCheck)
	runbook.LoadPolicy.Bind(env, func(context.Context, runbook.LoadPolicyInput) (runbook.LoadPolicyOutput, error) {
		out := loaded()
		if s.policy != nil {
			s.policy(&out)
		}
		return out, nil
	})
	runbook.TakeCensus.Bind(env, func(context.Context, runbook.CensusInput) (runbook.Census, error) { return s.census, nil })
	runbook.ResolveImage.Bind(env, func(_ context.Context, in runbook.ResolveImageInput) (runbook.ResolvedImage, error) {
		return runbook.ResolvedImage{Image: in.Image, LocalID: "i"}, nil
	})
	runbook.AskAll.Bind(env, func(_ context.Context, in runbook.AskAllInput) (runbook.Answers, error) {
		var out runbook.Answers
		for _, q := range in.Questions {
			a, known := s.answers[q.URL]
			if !known {
				a.Err = "connection refused"
			}
			out.Answers = append(out.Answers, a)
		}
		return out, nil
	})
	runbook.ObserveDatabase.Bind(env, func(context.Context, runbook.DatabaseInput) (runbook.DatabaseState, error) {
		return runbook.DatabaseState{Connections: 5, MaxConnections: 100, SizeBytes: 1 << 20}, nil
	})
	runbook.ObserveCache.Bind(env, func(context.Context, runbook.CacheInput) (runbook.CacheState, error) { return s.cache, nil })
	runbook.ObserveMetrics.Bind(env, func(context.Context, runbook.MetricsInput) (runbook.MetricsState, error) {
		return runbook.MetricsState{Ready: true, TargetsUp: 9, Rules: 5}, s.metrics
	})
	runbook.QueryMetrics.Bind(env, func(_ context.Context, in runbook.QueriesInput) (runbook.Samples, error) {
		out := runbook.Samples{}
		for _, q := range in.Queries {
			out.Samples = append(out.Samples, runbook.Sample{Query: q, Found: true, Value: 100})
		}
		return out, s.metrics
	})
	runbook.ListAlerts.Bind(env, func(context.Context, runbook.AlertsInput) (runbook.AlertsState, error) {
		return runbook.AlertsState{}, nil
	})
	runbook.MeasureHost.Bind(env, func(context.Context, runbook.ResourcesInput) (runbook.Resources, error) {
		return runbook.Resources{Disks: []runbook.Disk{{Directory: ".", Bytes: 100, Free: 80}}, MemoryBytes: 100, MemoryAvailable: 80}, nil
	})
	runbook.ObserveProxy.Bind(env, func(context.Context, runbook.ProxyInput) (runbook.ProxyState, error) { return s.proxy, nil })
	runbook.ReadLedgerHead.Bind(env, func(context.Context, runbook.LedgerInput) (runbook.LedgerHead, error) {
		return runbook.LedgerHead{Seq: 7, Hash: "head"}, nil
	})
	runbook.SendNotice.Bind(env, func(context.Context, runbook.NoticeInput) (runbook.NoticeOutput, error) {
		return runbook.NoticeOutput{Delivered: []string{"file"}}, nil
	})
	env.ExecuteWorkflow(ReadinessCheck.Name, ReadinessCheckInput{})
	require.True(t, env.IsWorkflowCompleted())
	var report runbook.Report
	err := env.GetWorkflowError()
	if err == nil {
		require.NoError(t, env.GetWorkflowResult(&report))
		return report
	}
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.NoError(t, app.Details(&report))
	return report
}

func loaded() runbook.LoadPolicyOutput {
	return runbook.LoadPolicyOutput{
		Policy: runbook.Policy{
			Hash: "sha256:p", Proxy: runbook.ProxyPolicy{Service: "nginx", URL: "http://proxy"},
			Database:  runbook.DatabasePolicy{Service: "postgres-primary", Name: "leanvibe_production"},
			Cache:     runbook.CachePolicy{Services: []string{"redis-node1"}},
			Metrics:   runbook.MetricsPolicy{Prometheus: "http://prometheus", Alertmanager: "http://alertmanager"},
			Baselines: []runbook.Baseline{{Metric: "Memory Usage", Query: "mem", Better: "lower", Excellent: 200, Good: 300, Warning: 400, Critical: 500, Unit: "MB", Required: true}},
			Readiness: runbook.ReadinessPolicy{MinDiskFree: 0.1, MinMemoryFree: 0.05, ProxyPaths: []string{"/health"}},
		},
		Stack: runbook.Stack{Project: "leanvibe", Services: []runbook.Service{{
			Name: "communication-hub", Role: runbook.RoleApp, Replicas: 1, Image: "reg/hub:2", ConfigHash: "h", Upstream: "communication-hub",
			Probe: &runbook.Probe{HTTP: "/readyz", Port: 8082}, HasHealthcheck: true, LogLimited: true,
		}}},
	}
}

func TestReady(t *testing.T) {
	report := healthySeen().check(t)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	require.Empty(t, report.Plan.Changes)
	for _, f := range report.Findings {
		require.Contains(t, []runbook.Severity{runbook.Good, runbook.Excellent}, f.Severity, "%s: %s", f.Target, f.What)
	}
}

// TestNotReadyNamesTheCulprit spoils one thing at a time (issue: what must be shown, 6).
func TestNotReadyNamesTheCulprit(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*stackSeen)
		want  []string
	}{
		"a hub stopped": {func(s *stackSeen) { s.census.Containers[0].State = "exited" }, []string{"census: communication-hub (critical)", "0 of 1 replicas run"}},
		"nginx answers /health itself": {func(s *stackSeen) { s.answers["http://proxy/health"] = runbook.Answer{Status: 200, Body: "ok"} },
			[]string{"health through the proxy: /health (critical)", "no replica answered"}},
		"a slot lost":        {func(s *stackSeen) { s.cache.SlotsCovered = 16383 }, []string{"redis cluster (critical)", "16383 of 16384 slots"}},
		"Prometheus stopped": {func(s *stackSeen) { s.metrics = runbook.Fail(runbook.Unreachable, "Prometheus does not answer") }, []string{"prometheus (no data)", "baseline: Memory Usage (no data)"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthySeen()
			c.spoil(s)
			report := s.check(t)
			require.Equal(t, runbook.Failed, report.Outcome)
			for _, want := range c.want {
				require.Contains(t, report.Reason, want)
			}
		})
	}
}

// What the policy has no section for is said as not looked at: it is never good, it
// bars nothing, and nobody is asked for it.
func TestWhatTheStackHasNotIsNotLookedAt(t *testing.T) {
	s := healthySeen()
	s.metrics = runbook.Fail(runbook.Unreachable, "nobody is there")
	s.cache = runbook.CacheState{}
	s.policy = func(out *runbook.LoadPolicyOutput) {
		out.Policy.Proxy, out.Policy.Database, out.Policy.Cache = runbook.ProxyPolicy{}, runbook.DatabasePolicy{}, runbook.CachePolicy{}
		out.Policy.Metrics, out.Policy.Baselines, out.Policy.Readiness.ProxyPaths = runbook.MetricsPolicy{}, nil, nil
	}
	report := s.check(t)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	said := map[string]runbook.Finding{}
	for _, f := range report.Findings {
		require.NotContains(t, said, f.Target)
		said[f.Target] = f
	}
	for _, section := range []string{"proxy", "database", "cache", "metrics.prometheus", "metrics.alertmanager"} {
		require.Equal(t, runbook.NoData, said[section].Severity, section)
		require.Contains(t, said[section].What, "not in the policy", section)
	}
	for _, row := range []string{"redis cluster", "prometheus", "alerts", "baselines", "health through the proxy: /health"} {
		require.NotContains(t, said, row)
	}
	for _, step := range report.Steps {
		require.NotContains(t, []string{"proxy.Observe", "database.Observe", "cache.Observe", "metrics.Observe", "metrics.Query", "alerts.List"}, step.Name)
	}
	require.Equal(t, runbook.Good, said["census: communication-hub"].Severity)
}
