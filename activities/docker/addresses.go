package docker

import (
	"context"
	"net/netip"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"

	"github.com/leanvibe/hive/workflows/runbook"
)

// addressesFile remembers the last address given out on each network, relative to
// the project. Addresses are given in turn, so that one is not used again before
// all the others of the range were: a proxy or a client that still knows an old
// address then meets nobody, and never another service.
var addressesFile = filepath.Join(stateDir, "addresses.json")

type addressState struct {
	// Last is by the engine's name of the network.
	Last map[string]netip.Addr `json:"last"`
}

// nextAddress gives out the next free address of the range. It is on the disk as
// given before anybody uses it.
func (h Hand) nextAddress(ctx context.Context, project *types.Project, svc types.ServiceConfig, replicas string) (string, error) {
	within, err := netip.ParsePrefix(replicas)
	if err != nil {
		return "", refuse(svc, "replica range %q is no network such as 10.231.16.0/20", replicas)
	}
	key := networkFor(project, svc.NetworksByPriority(), within.Masked().Addr().String())
	if key == "" {
		return "", refuse(svc, "the replica range %s lies in no configured subnet of its networks", replicas)
	}
	name := project.Networks[key].Name
	taken, err := h.takenAddresses(ctx, name)
	if err != nil {
		return "", err
	}
	var next netip.Addr
	err = h.locked(addressesFile, func() error {
		state := addressState{Last: map[string]netip.Addr{}}
		if _, err := h.read(addressesFile, &state); err != nil {
			return err
		}
		if next = after(state.Last[name], within.Masked(), taken); !next.IsValid() {
			return runbook.Fail(runbook.Busy, "network %s: every address of the replica range %s is in use; widen it in the compose file", name, replicas)
		}
		state.Last[name] = next
		return h.write(addressesFile, state)
	})
	return next.String(), err
}

// after is the first free address behind the last one, around the end of the range.
func after(last netip.Addr, within netip.Prefix, taken map[netip.Addr]bool) netip.Addr {
	first := within.Addr()
	start := last.Next()
	if !within.Contains(start) {
		start = first
	}
	for a := start; ; {
		if !taken[a] && a != first && a.Next().IsValid() && within.Contains(a.Next()) { // neither the range's first nor its last: they may be the subnet's own
			return a
		}
		if a = a.Next(); !within.Contains(a) {
			a = first
		}
		if a == start {
			return netip.Addr{}
		}
	}
}

// takenAddresses are those in use on the network and those that stopped containers
// come back with.
func (h Hand) takenAddresses(ctx context.Context, name string) (map[netip.Addr]bool, error) {
	out := map[netip.Addr]bool{}
	take := func(text string) {
		if p, err := netip.ParsePrefix(text); err == nil {
			out[p.Addr()] = true
		} else if a, err := netip.ParseAddr(text); err == nil {
			out[a] = true
		}
	}
	n, err := h.API.NetworkInspect(ctx, name, network.InspectOptions{})
	if err != nil {
		return nil, classify(err, "network "+name)
	}
	for _, pool := range n.IPAM.Config {
		take(pool.Gateway)
		for _, a := range pool.AuxAddress {
			take(a)
		}
	}
	for _, c := range n.Containers {
		take(c.IPv4Address)
	}
	all, err := h.API.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("network", n.ID))})
	if err != nil {
		return nil, classify(err, "network "+name)
	}
	for _, c := range all {
		if c.NetworkSettings == nil || c.NetworkSettings.Networks[name] == nil {
			continue
		}
		e := c.NetworkSettings.Networks[name]
		take(e.IPAddress)
		if e.IPAMConfig != nil {
			take(e.IPAMConfig.IPv4Address)
		}
	}
	return out, nil
}
