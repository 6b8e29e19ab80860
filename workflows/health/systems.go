package health

import (
	"fmt"
	"strings"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

// oldWorkersMany is how many workers of earlier proxy configurations are worth a
// look: each carries long connections and costs memory until they close.
const oldWorkersMany = 16

// judgeDatabase is the runbook's Database Health Check.
func judgeDatabase(policy runbook.DatabasePolicy, s runbook.DatabaseState, err error) Check {
	const name = "database"
	if err != nil {
		return unseen(name, err)
	}
	var v verdict
	if s.MaxConnections > 0 {
		share := float64(s.Connections) / float64(s.MaxConnections)
		said := fmt.Sprintf("%d of %d connections in use, budget %.0f %%", s.Connections, s.MaxConnections, 100*policy.ConnectionBudget)
		switch {
		case share >= 0.95: // 3 of 100 are reserved for superusers by default: users are being refused
			v.add(runbook.Critical, said)
		case policy.ConnectionBudget > 0 && share > policy.ConnectionBudget:
			v.add(runbook.Warning, said)
		}
	}
	for _, q := range s.LongQueries {
		v.add(runbook.Warning, fmt.Sprintf("query of %s by %s (pid %d) runs for %s: %.80s", q.Application, q.User, q.PID, q.Age.D().Round(time.Second), q.Text))
	}
	for _, i := range s.Leftovers {
		v.add(runbook.Warning, fmt.Sprintf("index %s.%s is invalid: it costs writes and serves no reads; DatabaseMaintenance drops or rebuilds it", i.Schema, i.Name))
	}
	return v.check(name, fmt.Sprintf("%d of %d connections, %s, no query over %s, no invalid index",
		s.Connections, s.MaxConnections, Bytes(s.SizeBytes), policy.LongQuery))
}

// judgeCache judges Redis as every node sees it.
func judgeCache(policy runbook.CachePolicy, s runbook.CacheState, err error) Check {
	if !policy.Clustered() {
		return judgeServers(policy, s, err)
	}
	const name, slots = "redis cluster", 16384
	if err != nil {
		return unseen(name, err)
	}
	var v verdict
	if s.SlotsCovered < slots {
		v.add(runbook.Critical, fmt.Sprintf("%d of %d slots are served: keys of the other %d are lost to users", s.SlotsCovered, slots, slots-s.SlotsCovered))
	}
	for _, n := range s.Nodes {
		switch {
		case n.Err != "":
			v.add(runbook.Critical, n.Service+": "+n.Err)
		case n.Role != "master" && !n.LinkUp:
			v.add(runbook.Warning, n.Service+" has lost its master: one more failure loses writes")
		}
	}
	for _, p := range s.Problems {
		v.add(runbook.Critical, p)
	}
	if !s.Written && len(v.said) == 0 {
		v.add(runbook.Critical, "a keyed write, read and delete did not pass on every master")
	}
	if missing := len(policy.Services) - len(s.Nodes); missing > 0 {
		v.add(runbook.Critical, fmt.Sprintf("%d of %d nodes answered", len(s.Nodes), len(policy.Services)))
	}
	return v.check(name, fmt.Sprintf("%d nodes agree on %d slots, every master writes and reads", len(s.Nodes), s.SlotsCovered))
}

// judgeServers judges each Redis that is no node of a cluster.
func judgeServers(policy runbook.CachePolicy, s runbook.CacheState, err error) Check {
	const name = "redis"
	if err != nil {
		return unseen(name, err)
	}
	var v verdict
	var seen []string
	for _, n := range s.Nodes {
		said := fmt.Sprintf("%s is a %s with %s in memory", n.Service, n.Role, Bytes(n.UsedBytes))
		if n.LimitBytes > 0 {
			said += " of " + Bytes(n.LimitBytes)
		}
		seen = append(seen, said)
		switch full := float64(n.UsedBytes) / float64(max(n.LimitBytes, 1)); {
		case n.Err != "":
			v.add(runbook.Critical, n.Service+": "+n.Err)
		case n.Role != "master" && !n.LinkUp:
			v.add(runbook.Warning, n.Service+" has lost its master: one more failure loses writes")
		case n.LimitBytes > 0 && full >= 0.95:
			v.add(runbook.Critical, said+": at its limit it refuses writes")
		case n.LimitBytes > 0 && full >= 0.8:
			v.add(runbook.Warning, said+": at its limit it refuses writes")
		}
	}
	for _, p := range s.Problems {
		v.add(runbook.Critical, p)
	}
	if !s.Written && len(v.said) == 0 {
		v.add(runbook.Critical, "a keyed write, read and delete did not pass on every master")
	}
	if missing := len(policy.Services) - len(s.Nodes); missing > 0 {
		v.add(runbook.Critical, fmt.Sprintf("%d of %d servers answered", len(s.Nodes), len(policy.Services)))
	}
	return v.check(name, strings.Join(seen, ", ")+"; its data is there and kept, it writes and reads")
}

// judgeMetrics judges Prometheus itself: without it the baselines are blind.
func judgeMetrics(s runbook.MetricsState, err error) Check {
	const name = "prometheus"
	if err != nil {
		return unseen(name, err)
	}
	var v verdict
	if !s.Ready {
		v.add(runbook.NoData, "Prometheus is not ready")
	}
	for _, t := range s.TargetsDown {
		v.add(runbook.Warning, "target down: "+t)
	}
	for _, r := range s.RulesFailed {
		v.add(runbook.Warning, "rule fails: "+r)
	}
	if s.Ready && s.TargetsUp == 0 {
		v.add(runbook.NoData, "no target is up")
	}
	if s.Ready && s.Rules == 0 {
		v.add(runbook.Warning, "no rule is loaded: nothing would alert")
	}
	return v.check(name, fmt.Sprintf("%d targets up, %d rules in order", s.TargetsUp, s.Rules))
}

// judgeAlerts judges what fires now.
func judgeAlerts(s runbook.AlertsState, err error) Check {
	const name = "alerts"
	if err != nil {
		return unseen(name, err)
	}
	var v verdict
	for _, a := range s.Alerts {
		severity, said := runbook.Warning, a.Name+" ("+or(a.Severity, "no severity")+") fires"
		switch {
		case a.Silenced:
			said += ", silenced"
		case a.Severity == "critical":
			severity = runbook.Critical
		}
		v.add(severity, said)
	}
	return v.check(name, "none fires")
}

// judgeHost judges disk and memory (runbook: df -h, free -m).
func judgeHost(policy runbook.ReadinessPolicy, r runbook.Resources, err error) []Check {
	if err != nil {
		return []Check{unseen("disk", err), unseen("memory", err)}
	}
	var disk verdict
	var free []string
	for _, d := range r.Disks {
		said := fmt.Sprintf("%s has %s of %s free", d.Directory, Bytes(d.Free), Bytes(d.Bytes))
		free = append(free, said)
		if s := scarce(d.Free, d.Bytes, policy.MinDiskFree); s != runbook.Good {
			disk.add(s, said)
		}
	}
	if len(r.Disks) == 0 {
		disk.add(runbook.NoData, "no disk was measured")
	}
	var memory verdict
	said := fmt.Sprintf("%s of %s available", Bytes(r.MemoryAvailable), Bytes(r.MemoryBytes))
	if s := scarce(r.MemoryAvailable, r.MemoryBytes, policy.MinMemoryFree); s != runbook.Good {
		memory.add(s, said)
	}
	return []Check{disk.check("disk", strings.Join(free, ", ")), memory.check("memory", said)}
}

// scarce grades what is left: critical below the least share, warning below twice
// of it, no data where the whole is unknown.
func scarce(free, whole int64, least float64) runbook.Severity {
	if whole <= 0 {
		return runbook.NoData
	}
	switch share := float64(free) / float64(whole); {
	case share < least:
		return runbook.Critical
	case share < 2*least:
		return runbook.Warning
	default:
		return runbook.Good
	}
}

// judgeProxy judges the proxy: who it routes to, and how many workers of earlier
// configurations live on.
func judgeProxy(stack runbook.Stack, census runbook.Census, s runbook.ProxyState, err error) Check {
	const name = "proxy"
	if err != nil {
		return unseen(name, err)
	}
	var v verdict
	for _, svc := range stack.Services {
		if svc.Upstream != "" {
			judgeRoutes(&v, svc, census.Of(svc.Name), s.Upstreams[svc.Upstream])
		}
	}
	if s.OldWorkers > oldWorkersMany {
		v.add(runbook.Warning, fmt.Sprintf("%d old workers still carry long connections", s.OldWorkers))
	}
	if !s.KeepaliveMin {
		v.add(runbook.Warning, "nginx "+s.Version+" lacks keepalive_min_timeout (1.27.4): a reload can lose a POST")
	}
	return v.check(name, fmt.Sprintf("nginx %s, generation %d, %d old workers", s.Version, s.Generation, s.OldWorkers))
}

// judgeRoutes compares an upstream's addresses with the service's replicas: both
// a dead address and a replica without traffic are left by a run that was ended.
func judgeRoutes(v *verdict, svc runbook.Service, containers []runbook.Container, addresses []string) {
	lives := map[string]bool{}
	routed := map[string]bool{}
	for _, a := range addresses {
		routed[hostOf(a)] = true
	}
	for _, c := range containers {
		if c.State != "running" || c.Address == "" {
			continue
		}
		lives[c.Address] = true
		if !routed[c.Address] {
			v.add(runbook.Warning, c.Name+" runs, but the proxy does not route to it; RollingRestart repairs it")
		}
	}
	for _, a := range addresses {
		if !lives[hostOf(a)] {
			v.add(runbook.Warning, fmt.Sprintf("the proxy routes %s to %s, where no replica runs", svc.Upstream, a))
		}
	}
	if len(addresses) == 0 {
		v.add(runbook.Critical, "the proxy routes "+svc.Upstream+" to nobody")
	}
}

func hostOf(address string) string {
	if i := strings.LastIndexByte(address, ':'); i >= 0 {
		return address[:i]
	}
	return address
}
