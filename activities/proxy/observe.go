package proxy

import (
	"context"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Observe answers runbook.ObserveProxy.
func (h Hand) Observe(ctx context.Context, in runbook.ProxyInput) (runbook.ProxyState, error) {
	defer beating(ctx)()
	var none runbook.ProxyState
	id, err := h.locate(ctx, in)
	if err != nil {
		return none, err
	}
	all, err := h.readPages(in.Proxy.AddressDir)
	if err != nil {
		return none, err
	}
	out := runbook.ProxyState{Upstreams: map[string][]string{}}
	for name, p := range all.Upstreams {
		out.Upstreams[name] = p.Addresses
	}
	if out.Generation, err = h.served(ctx, in.Proxy); err != nil {
		return none, err
	}
	if out.Version, out.KeepaliveMin, err = h.version(ctx, id); err != nil {
		return none, err
	}
	if out.OldWorkers, err = h.oldWorkers(ctx, id); err != nil {
		return none, err
	}
	return out, nil
}
