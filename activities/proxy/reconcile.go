package proxy

import (
	"context"
	"maps"
	"slices"
	"sort"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Reconcile makes the pages agree with what runs; the caller holds the proxy's lock.
// live are the addresses of running replicas by upstream. A dead address goes; one
// that is live comes back only if the upstream's newest run state calls it in, for
// else it may be a copy that has not been judged yet. An upstream of which nothing
// would be left goes to all that lives: no run is at work, and a copy that was not
// judged serves more users than one that is gone. One of which live says nothing
// stays as it is: the engine may only not know yet. What a killed predecessor wrote and never loaded is loaded.
func (h Hand) Reconcile(ctx context.Context, in runbook.ProxyInput, live map[string][]string) (map[string]runbook.ProxyChange, error) {
	id, err := h.locate(ctx, in)
	if err != nil {
		return nil, err
	}
	all, err := h.readPages(in.Proxy.AddressDir)
	if err != nil {
		return nil, err
	}
	served, err := h.served(ctx, in.Proxy)
	if err != nil {
		return nil, err
	}
	sets, before := map[string][]string{}, map[string][]byte{generationFile: all.Raw}
	for name, now := range all.Upstreams {
		var called []string
		if last := h.lastWord(name); last != nil {
			called = last.In
		}
		want := reconciled(now.Addresses, live[name], called)
		if now.inForce(served) && slices.Equal(want, now.Addresses) {
			continue
		}
		if want, err = tidy(name, want); err != nil {
			return nil, err
		}
		sets[name] = want
		maps.Copy(before, h.good(all, name, served))
	}
	if len(sets) == 0 {
		return nil, nil
	}
	generation := all.next(served)
	if err := h.change(ctx, id, in, sets, generation, before); err != nil {
		return nil, err
	}
	out := map[string]runbook.ProxyChange{}
	for name := range sets {
		out[name] = runbook.ProxyChange{Generation: generation, Previous: all.Upstreams[name].Addresses, Changed: true}
	}
	return out, nil
}

// reconciled decides the set of one upstream: of what is routed to, what lives, and
// of what lives, what a run calls in.
func reconciled(routed, live, called []string) []string {
	var out []string
	for _, a := range live {
		if slices.Contains(routed, a) || slices.Contains(called, a) {
			out = append(out, a)
		}
	}
	switch {
	case len(out) > 0:
	case len(routed) > 0 && len(live) > 0: // somebody replaced them all by other means, such as docker compose up: these are what is left to try
		out = slices.Clone(live)
	default:
		return routed
	}
	sort.Strings(out)
	return slices.Compact(out)
}
