package health

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

var errAway = errors.New("connection refused")

func TestNothingObservedIsNoData(t *testing.T) {
	checks := []Check{
		judgeDatabase(runbook.DatabasePolicy{}, runbook.DatabaseState{}, errAway), judgeCache(runbook.CachePolicy{}, runbook.CacheState{}, errAway),
		judgeMetrics(runbook.MetricsState{}, errAway), judgeAlerts(runbook.AlertsState{}, errAway),
		judgeProxy(runbook.Stack{}, runbook.Census{}, runbook.ProxyState{}, errAway),
	}
	checks = append(checks, judgeHost(runbook.ReadinessPolicy{}, runbook.Resources{}, errAway)...)
	for _, c := range checks {
		require.Equal(t, runbook.NoData, c.Verdict, c.Name)
		require.True(t, c.Bars(), c.Name)
		require.Contains(t, c.What, "connection refused")
	}
}

func TestJudgeDatabase(t *testing.T) {
	policy := runbook.DatabasePolicy{ConnectionBudget: 0.8, LongQuery: runbook.Duration(time.Minute)}
	for name, c := range map[string]struct {
		state runbook.DatabaseState
		want  runbook.Severity
		says  string
	}{
		"well":          {runbook.DatabaseState{Connections: 10, MaxConnections: 100, SizeBytes: 5 << 20}, runbook.Good, "10 of 100 connections, 5.0 MiB"},
		"over budget":   {runbook.DatabaseState{Connections: 85, MaxConnections: 100}, runbook.Warning, "budget 80 %"},
		"exhausted":     {runbook.DatabaseState{Connections: 97, MaxConnections: 100}, runbook.Critical, "97 of 100"},
		"a long query":  {runbook.DatabaseState{MaxConnections: 100, LongQueries: []runbook.Query{{PID: 42, Age: runbook.Duration(3 * time.Minute)}}}, runbook.Warning, "pid 42"},
		"invalid index": {runbook.DatabaseState{MaxConnections: 100, Leftovers: []runbook.IndexState{{Schema: "public", Name: "a_ccnew"}}}, runbook.Warning, "public.a_ccnew is invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			got := judgeDatabase(policy, c.state, nil)
			require.Equal(t, c.want, got.Verdict)
			require.Contains(t, got.What, c.says)
		})
	}
}

func TestJudgeCache(t *testing.T) {
	policy := runbook.CachePolicy{Services: []string{"redis-node1"}}
	node := runbook.CacheNode{Service: "redis-node1", Role: "master", Slots: 16384}
	for name, c := range map[string]struct {
		state runbook.CacheState
		want  runbook.Severity
		says  string
	}{
		"well":           {runbook.CacheState{Nodes: []runbook.CacheNode{node}, SlotsCovered: 16384, Written: true}, runbook.Good, "agree on 16384"},
		"a slot lost":    {runbook.CacheState{Nodes: []runbook.CacheNode{node}, SlotsCovered: 16383, Written: true}, runbook.Critical, "16383 of 16384"},
		"a node is away": {runbook.CacheState{Nodes: []runbook.CacheNode{{Service: "redis-node1", Err: "timeout"}}, SlotsCovered: 16384}, runbook.Critical, "redis-node1: timeout"},
		"a disagreement": {runbook.CacheState{Nodes: []runbook.CacheNode{node}, SlotsCovered: 16384, Written: true, Problems: []string{"views differ"}}, runbook.Critical, "views differ"},
		"nothing writes": {runbook.CacheState{Nodes: []runbook.CacheNode{node}, SlotsCovered: 16384}, runbook.Critical, "did not pass on every master"},
		"nobody there":   {runbook.CacheState{SlotsCovered: 16384, Written: true}, runbook.Critical, "0 of 1 nodes"},
		"a replica lost its master": {runbook.CacheState{Nodes: []runbook.CacheNode{{Service: "redis-node4", Role: "replica"}}, SlotsCovered: 16384, Written: true},
			runbook.Warning, "redis-node4 has lost"},
	} {
		t.Run(name, func(t *testing.T) {
			got := judgeCache(policy, c.state, nil)
			require.Equal(t, c.want, got.Verdict)
			require.Contains(t, got.What, c.says)
		})
	}
}

func TestJudgeAlertsAndMetrics(t *testing.T) {
	require.Equal(t, runbook.Good, judgeAlerts(runbook.AlertsState{}, nil).Verdict)
	alerts := func(severity string, silenced bool) runbook.Severity {
		return judgeAlerts(runbook.AlertsState{Alerts: []runbook.Alert{{Name: "A", Severity: severity, Silenced: silenced}}}, nil).Verdict
	}
	require.Equal(t, runbook.Critical, alerts("critical", false))
	require.Equal(t, runbook.Warning, alerts("critical", true))
	require.Equal(t, runbook.Warning, alerts("warning", false))

	well := runbook.MetricsState{Ready: true, TargetsUp: 9, Rules: 12}
	require.Equal(t, runbook.Good, judgeMetrics(well, nil).Verdict)
	down := well
	down.TargetsDown = []string{"redis-exporter"}
	require.Equal(t, runbook.Warning, judgeMetrics(down, nil).Verdict)
	require.Equal(t, runbook.NoData, judgeMetrics(runbook.MetricsState{Ready: true, Rules: 1}, nil).Verdict, "no target up")
	require.Equal(t, runbook.NoData, judgeMetrics(runbook.MetricsState{TargetsUp: 1, Rules: 1}, nil).Verdict, "not ready")
}

func TestJudgeHost(t *testing.T) {
	policy := runbook.ReadinessPolicy{MinDiskFree: 0.1, MinMemoryFree: 0.05}
	host := func(disk, memory int64) (runbook.Severity, runbook.Severity) {
		checks := judgeHost(policy, runbook.Resources{Disks: []runbook.Disk{{Directory: ".", Bytes: 100, Free: disk}}, MemoryBytes: 100, MemoryAvailable: memory}, nil)
		return checks[0].Verdict, checks[1].Verdict
	}
	d, m := host(50, 50)
	require.Equal(t, []runbook.Severity{runbook.Good, runbook.Good}, []runbook.Severity{d, m})
	d, m = host(15, 7)
	require.Equal(t, []runbook.Severity{runbook.Warning, runbook.Warning}, []runbook.Severity{d, m})
	d, m = host(9, 4)
	require.Equal(t, []runbook.Severity{runbook.Critical, runbook.Critical}, []runbook.Severity{d, m})
	checks := judgeHost(policy, runbook.Resources{}, nil)
	require.Equal(t, runbook.NoData, checks[0].Verdict)
	require.Equal(t, runbook.NoData, checks[1].Verdict)
}

func TestJudgeProxy(t *testing.T) {
	stack := runbook.Stack{Services: []runbook.Service{hub(2)}}
	census := runbook.Census{Containers: []runbook.Container{replica("hub-1", "10.231.16.1"), replica("hub-2", "10.231.16.2")}}
	state := func(addresses ...string) runbook.ProxyState {
		return runbook.ProxyState{Version: "1.28.0", KeepaliveMin: true, Generation: 7, Upstreams: map[string][]string{"communication-hub": addresses}}
	}
	for name, c := range map[string]struct {
		state runbook.ProxyState
		want  runbook.Severity
		says  string
	}{
		"well":              {state("10.231.16.1:8082", "10.231.16.2:8082"), runbook.Good, "generation 7"},
		"one left out":      {state("10.231.16.1:8082"), runbook.Warning, "hub-2 runs, but the proxy does not route to it"},
		"a dead address":    {state("10.231.16.1:8082", "10.231.16.2:8082", "10.231.16.9:8082"), runbook.Warning, "10.231.16.9:8082, where no replica runs"},
		"routes to nobody":  {state(), runbook.Critical, "to nobody"},
		"nginx without min": {runbook.ProxyState{Version: "1.22.1", Upstreams: state("10.231.16.1:8082", "10.231.16.2:8082").Upstreams}, runbook.Warning, "keepalive_min_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			got := judgeProxy(stack, census, c.state, nil)
			require.Equal(t, c.want, got.Verdict)
			require.Contains(t, got.What, c.says)
		})
	}
}

func TestJudgeServers(t *testing.T) {
	no := false
	policy := runbook.CachePolicy{Services: []string{"redis"}, Cluster: &no}
	one := func(n runbook.CacheNode, problems ...string) runbook.CacheState {
		return runbook.CacheState{Nodes: []runbook.CacheNode{n}, Written: len(problems) == 0 && n.Err == "", Problems: problems}
	}
	master := func(used, limit int64) runbook.CacheNode {
		return runbook.CacheNode{Service: "redis", Role: "master", LinkUp: true, UsedBytes: used, LimitBytes: limit}
	}
	for name, c := range map[string]struct {
		state runbook.CacheState
		want  runbook.Severity
		says  string
	}{
		"well":              {one(master(1<<20, 0)), runbook.Good, "redis is a master with 1.0 MiB in memory; its data is there and kept, it writes and reads"},
		"room left":         {one(master(1<<20, 4<<20)), runbook.Good, "1.0 MiB in memory of 4.0 MiB"},
		"little room left":  {one(master(85, 100)), runbook.Warning, "at its limit it refuses writes"},
		"no room left":      {one(master(96, 100)), runbook.Critical, "at its limit it refuses writes"},
		"does not answer":   {one(runbook.CacheNode{Service: "redis", Err: "does not answer"}), runbook.Critical, "redis: does not answer"},
		"a save failed":     {one(master(1, 0), `redis: its last background save ended "err"`), runbook.Critical, "background save"},
		"lost its master":   {one(runbook.CacheNode{Service: "redis", Role: "replica"}), runbook.Warning, "has lost its master"},
		"one is away":       {runbook.CacheState{Written: true}, runbook.Critical, "0 of 1 servers answered"},
		"nothing was wrote": {runbook.CacheState{Nodes: []runbook.CacheNode{master(1, 0)}}, runbook.Critical, "did not pass on every master"},
	} {
		t.Run(name, func(t *testing.T) {
			got := judgeCache(policy, c.state, nil)
			require.Equal(t, "redis", got.Name)
			require.Equal(t, c.want, got.Verdict)
			require.Contains(t, got.What, c.says)
			require.True(t, got.Required)
		})
	}
	require.Equal(t, runbook.NoData, judgeCache(policy, runbook.CacheState{}, runbook.Fail(runbook.Missing, "no password")).Verdict)
}
