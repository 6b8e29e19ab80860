package health

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

func TestReadyNeedsEveryRequiredCheck(t *testing.T) {
	good := Check{Name: "a", Verdict: runbook.Good, Required: true}
	cases := map[string]struct {
		checks []Check
		ready  bool
		reason string
	}{
		"nothing seen":               {nil, false, "nothing was observed"},
		"all good":                   {[]Check{good}, true, ""},
		"a warning":                  {[]Check{good, {Name: "b", Verdict: runbook.Warning, Required: true}}, true, ""},
		"required without data":      {[]Check{good, {Name: "b", Verdict: runbook.NoData, Required: true, What: "away"}}, false, "b (no data): away"},
		"not required without data":  {[]Check{good, {Name: "b", Verdict: runbook.NoData}}, true, ""},
		"not required, critical":     {[]Check{good, {Name: "b", Verdict: runbook.Critical}}, true, ""},
		"critical before no data":    {[]Check{{Name: "b", Verdict: runbook.NoData, Required: true, What: "x"}, {Name: "c", Verdict: runbook.Critical, Required: true, What: "y"}}, false, "c (critical): y; b (no data): x"},
		"only optional ones are bad": {[]Check{{Name: "b", Verdict: runbook.Critical}}, true, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.ready, Ready(c.checks))
			require.Equal(t, c.reason, Reason(c.checks))
		})
	}
}

func hub(replicas int) runbook.Service {
	return runbook.Service{Name: "communication-hub", Role: runbook.RoleApp, Replicas: replicas, Image: "hub:2.0", ConfigHash: "h", HasHealthcheck: true,
		Upstream: "communication-hub", ProxyHealth: "/health/communication-hub", Probe: &runbook.Probe{HTTP: "/readyz", Port: 8082}}
}

func replica(name, address string) runbook.Container {
	return runbook.Container{ID: "id-" + name, Name: name, Service: "communication-hub", State: "running", Health: "healthy", ConfigHash: "h",
		ImageID: "sha256:1", LogLimited: true, Address: address}
}

func TestCensus(t *testing.T) {
	change := func(f func(*runbook.Container)) []runbook.Container {
		a, b := replica("hub-1", "10.231.16.1"), replica("hub-2", "10.231.16.2")
		f(&b)
		return []runbook.Container{a, b}
	}
	cases := map[string]struct {
		containers []runbook.Container
		want       runbook.Severity
		says       string
	}{
		"as desired":    {change(func(*runbook.Container) {}), runbook.Good, "2 of 2 healthy"},
		"one stopped":   {change(func(c *runbook.Container) { c.State = "exited"; c.ExitCode = 3 }), runbook.Critical, "1 of 2 replicas run"},
		"one unhealthy": {change(func(c *runbook.Container) { c.Health = "unhealthy" }), runbook.Critical, "hub-2 is unhealthy"},
		"one starting":  {change(func(c *runbook.Container) { c.Health = "starting" }), runbook.Warning, "starting"},
		"a verdict that nobody renews": {change(func(c *runbook.Container) {
			c.Health, c.HealthSilent = runbook.HealthSilent, runbook.Duration(90*time.Second)
		}), runbook.NoData, "has not been checked for 1m30s"},
		"the engine is silent, its own check passes": {change(func(c *runbook.Container) { c.HealthSilent = runbook.Duration(90 * time.Second) }), runbook.Warning,
			"passes its own check, but the engine has not run it for 1m30s"},
		"no health verdict": {change(func(c *runbook.Container) { c.Health = "" }), runbook.Critical, "without a health verdict"},
		"other config":      {change(func(c *runbook.Container) { c.ConfigHash = "x" }), runbook.Warning, "another compose file; RollingRestart"},
		"other image":       {change(func(c *runbook.Container) { c.ImageID = "sha256:2" }), runbook.Warning, "does not run what hub:2.0 names"},
		"one too many": {append(change(func(*runbook.Container) {}), replica("hub-3", "10.231.16.3")), runbook.Warning,
			"3 replicas run where the compose file says 2"},
		"leftover of a run": {append(change(func(*runbook.Container) {}), runbook.Container{Name: "hub-3", Service: "communication-hub", State: "created", Run: "rolling-restart/1"}),
			runbook.Warning, "made by run rolling-restart/1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			stack := runbook.Stack{Services: []runbook.Service{hub(2)}}
			checks := censusChecks(stack, runbook.Census{Containers: c.containers}, map[string]string{"hub:2.0": "sha256:1"})
			require.Equal(t, c.want, checks[0].Verdict)
			require.Contains(t, checks[0].What, c.says)
		})
	}
	stranger := runbook.Container{Name: "x", Service: "unknown", State: "running"}
	checks := censusChecks(runbook.Stack{}, runbook.Census{Containers: []runbook.Container{stranger}}, nil)
	require.Equal(t, runbook.Warning, checks[0].Verdict)
	require.Contains(t, checks[1].What, "logs without limit for x")
}

func TestJudgeAnswer(t *testing.T) {
	behind, direct := question{name: "q", url: "http://127.0.0.1:8080/health", behind: true}, question{name: "q", url: "http://10.231.16.1:8082/readyz"}
	cases := map[string]struct {
		q    question
		a    runbook.Answer
		err  error
		want runbook.Severity
		says string
	}{
		"a replica answers":       {behind, runbook.Answer{Status: 200, Instance: "abc"}, nil, runbook.Good, "from abc"},
		"nginx answers by itself": {behind, runbook.Answer{Status: 200, Body: "healthy"}, nil, runbook.Critical, "the proxy answered by itself"},
		"unavailable":             {behind, runbook.Answer{Status: 503, Instance: "abc", Body: "draining"}, nil, runbook.Critical, "status 503 from abc"},
		"refused":                 {direct, runbook.Answer{Err: "connection refused"}, nil, runbook.Critical, "connection refused"},
		"slow":                    {direct, runbook.Answer{Status: 200, Took: runbook.Duration(time.Second)}, nil, runbook.Warning, "slowly in 1s"},
		"the probe itself failed": {direct, runbook.Answer{}, errors.New("no worker"), runbook.NoData, "no worker"},
		"a port that accepts":     {question{url: "tcp://10.0.0.1:1"}, runbook.Answer{}, nil, runbook.Good, "accepts"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := judgeAnswer(c.q, c.a, c.err)
			require.Equal(t, c.want, got.Verdict)
			require.Contains(t, got.What, c.says)
		})
	}
}

func TestQuestions(t *testing.T) {
	stack := runbook.Stack{Services: []runbook.Service{hub(2), {Name: "no-probe"}}}
	policy := runbook.Policy{Proxy: runbook.ProxyPolicy{Service: "nginx", URL: "http://p"}, Readiness: runbook.ReadinessPolicy{ProxyPaths: []string{"/health", "/health/communication-hub"}}}
	require.Len(t, proxyQuestions(stack, policy), 2, "each path once")
	stopped := replica("hub-2", "10.231.16.2")
	stopped.State = "exited"
	asked := replicaQuestions(stack, runbook.Census{Containers: []runbook.Container{replica("hub-1", "10.231.16.1"), stopped}})
	require.Equal(t, []question{{name: "health of hub-1", url: "http://10.231.16.1:8082/readyz"}}, asked)
}
