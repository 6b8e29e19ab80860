package policy

import (
	"fmt"
	"net/netip"
	"sort"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/leanvibe/hive/workflows/runbook"
)

// network finds the network that the rolled services and the proxy share, its
// subnet, and the range that replicas get fixed addresses from.
func (h Hand) network(project *types.Project, e *extensions, out *runbook.Stack) {
	key := sharedNetwork(project, *out)
	n, ok := project.Networks[key]
	if !ok {
		return
	}
	out.Network = n.Name
	x := e.network(key, n.Extensions)
	var pool *types.IPAMPool
	for _, p := range n.Ipam.Config {
		if subnet, err := netip.ParsePrefix(p.Subnet); err == nil && subnet.Addr().Is4() {
			pool = p
			break
		}
	}
	if pool != nil {
		out.Subnet = pool.Subnet
	}
	if x.Replicas == "" {
		return
	}
	if why := rangeBar(project, key, pool, x.Replicas); why != "" {
		e.mistake([]string{"networks", key, extension, "replicas"}, "networks."+key+".x-hive.replicas",
			x.Replicas+": "+why, "a part of the subnet that nobody else gives out", "10.231.16.0/20")
		return
	}
	out.ReplicaRange = x.Replicas
}

// sharedNetwork is the key of the first network, by name, that every rolled
// service and the proxy are on.
func sharedNetwork(project *types.Project, stack runbook.Stack) string {
	on, wanted := map[string]int{}, 0
	for _, s := range stack.Services {
		if s.Rolled() || s.Role == runbook.RoleProxy {
			wanted++
			for key := range project.Services[s.Name].Networks {
				on[key]++
			}
		}
	}
	var shared []string
	for key, services := range on {
		if services == wanted {
			shared = append(shared, key)
		}
	}
	if len(shared) == 0 {
		return ""
	}
	sort.Strings(shared)
	return shared[0]
}

// rangeBar says why replicas must not get addresses from the range.
func rangeBar(project *types.Project, key string, pool *types.IPAMPool, replicas string) string {
	r, err := netip.ParsePrefix(replicas)
	if err != nil {
		return "" // its rule has said so
	}
	if pool == nil {
		return "the network has no subnet of its own, and the engine refuses fixed addresses there"
	}
	subnet, err := netip.ParsePrefix(pool.Subnet)
	if err != nil || !subnet.Contains(r.Masked().Addr()) || r.Bits() < subnet.Bits() {
		return "not inside the subnet " + pool.Subnet
	}
	if given, err := netip.ParsePrefix(pool.IPRange); err != nil || given.Overlaps(r) {
		return "the engine gives addresses out of " + or(pool.IPRange, pool.Subnet+" (no ip_range is set)") + " and would give the same ones"
	}
	if gateway, err := netip.ParseAddr(pool.Gateway); err == nil && r.Contains(gateway) {
		return "the gateway " + pool.Gateway + " lies in it"
	}
	for _, name := range project.ServiceNames() {
		on := project.Services[name].Networks[key]
		if on == nil {
			continue
		}
		if fixed, err := netip.ParseAddr(on.Ipv4Address); err == nil && r.Contains(fixed) {
			return fmt.Sprintf("service %s has the address %s in it", name, fixed)
		}
	}
	return ""
}
