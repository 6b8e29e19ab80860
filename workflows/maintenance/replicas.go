package maintenance

import (
	"fmt"
	"sort"

	"github.com/leanvibe/hive/workflows/runbook"
)

// replicas are a service's containers, sorted by what they are to a roll.
type replicas struct {
	// serving answer users (app: the proxy routes to them; worker: they run).
	serving []runbook.Container
	// leftovers are half-made or traffic-less copies of a run that was ended.
	leftovers []runbook.Container
	// stopped are stopped copies that no run made.
	stopped []runbook.Container
}

// sortReplicas tells serving replicas from leftovers. A running copy without
// traffic is a leftover only while enough others serve: on a proxy that routes to
// nobody yet, everything that runs counts as serving.
func sortReplicas(svc runbook.Service, containers []runbook.Container, proxy runbook.ProxyState) replicas {
	var r replicas
	var silent []runbook.Container
	routed := routedHosts(proxy, svc.Upstream)
	for _, c := range containers {
		switch {
		case c.State == "running" && (svc.Upstream == "" || routed[c.Address]):
			r.serving = append(r.serving, c)
		case c.State == "running":
			silent = append(silent, c)
		case c.Run != "":
			r.leftovers = append(r.leftovers, c)
		default:
			r.stopped = append(r.stopped, c)
		}
	}
	if len(r.serving) >= max(svc.Replicas, 1) {
		r.leftovers = append(r.leftovers, silent...)
	} else {
		r.serving = append(r.serving, silent...)
	}
	byNumber(r.serving)
	byNumber(r.leftovers)
	byNumber(r.stopped)
	return r
}

func routedHosts(proxy runbook.ProxyState, upstream string) map[string]bool {
	out := map[string]bool{}
	for _, a := range proxy.Upstreams[upstream] {
		out[host(a)] = true
	}
	return out
}

func byNumber(containers []runbook.Container) {
	sort.SliceStable(containers, func(a, b int) bool { return containers[a].Number < containers[b].Number })
}

// freeNumber is the lowest number that no container of the service has. Compose
// keeps the lowest numbers when it counts, so a roll hands out the lowest too.
func freeNumber(containers []runbook.Container, taken []int) int {
	used := map[int]bool{}
	for _, c := range containers {
		used[c.Number] = true
	}
	for _, n := range taken {
		used[n] = true
	}
	n := 1
	for used[n] {
		n++
	}
	return n
}

// address is "ip:port" of a replica as the proxy's address files write it.
func address(svc runbook.Service, ip string) string {
	return fmt.Sprintf("%s:%d", ip, svc.Probe.Port)
}

// probeURL is where the replica itself is asked for its health.
func probeURL(svc runbook.Service, ip string) string {
	if svc.Probe.HTTP == "" {
		return "tcp://" + address(svc, ip)
	}
	return "http://" + address(svc, ip) + svc.Probe.HTTP
}

// host cuts the port from an address.
func host(address string) string {
	for i := len(address) - 1; i >= 0; i-- {
		if address[i] == ':' {
			return address[:i]
		}
	}
	return address
}
