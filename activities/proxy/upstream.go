package proxy

import (
	"context"
	"slices"

	"github.com/leanvibe/hive/workflows/runbook"
)

// SetUpstream answers runbook.SetUpstream. It takes no lock: its caller holds the
// proxy's. What a killed predecessor left half-done is found by the generation that
// nginx does not serve yet, and done again from the start.
func (h Hand) SetUpstream(ctx context.Context, in runbook.SetUpstreamInput) (runbook.ProxyChange, error) {
	defer beating(ctx)()
	var none runbook.ProxyChange
	want, err := tidy(in.Upstream, in.Addresses)
	if err != nil {
		return none, err
	}
	if len(want) == 0 {
		return none, runbook.Fail(runbook.Unsafe, "upstream %s would have no address: users would be turned away; name at least one", in.Upstream)
	}
	id, err := h.locate(ctx, in.ProxyInput)
	if err != nil {
		return none, err
	}
	all, err := h.readPages(in.Proxy.AddressDir)
	if err != nil {
		return none, err
	}
	now, known := all.Upstreams[in.Upstream]
	if !known {
		return none, runbook.Fail(runbook.Missing, "the proxy has no upstream %s in %s; it has %s", in.Upstream, in.Proxy.AddressDir, all.names())
	}
	served, err := h.served(ctx, in.Proxy)
	if err != nil {
		return none, err
	}
	mine, err := h.readState(in.Run, in.Upstream)
	if err != nil {
		return none, err
	}
	if now.inForce(served) && slices.Equal(now.Addresses, want) {
		return h.foundServed(in, now, mine, retried(ctx))
	}
	wanted := state{
		Run: in.Run, Upstream: in.Upstream, Generation: all.next(served), In: want,
		Previous: now.Addresses, Before: h.good(all, in.Upstream, served),
	}
	if !now.inForce(served) {
		wanted.Previous = parsePage(wanted.Before[in.Upstream+suffix]).Addresses
	}
	if err := h.writeState(wanted); err != nil {
		return none, err
	}
	err = h.change(ctx, id, in.ProxyInput, map[string][]string{in.Upstream: want}, wanted.Generation, wanted.Before)
	if runbook.KindOf(err) == runbook.Refused {
		return none, also(err, h.forget(wanted, mine))
	}
	if err != nil {
		return none, err
	}
	return runbook.ProxyChange{Generation: wanted.Generation, Previous: wanted.Previous, Changed: true}, nil
}

// foundServed answers for a set that is served already: by an earlier attempt of
// this act, which then has changed it, or by somebody else.
func (h Hand) foundServed(in runbook.SetUpstreamInput, now page, mine *state, again bool) (runbook.ProxyChange, error) {
	out := runbook.ProxyChange{Generation: now.Generation, Previous: now.Addresses}
	if mine != nil && mine.Generation == now.Generation && slices.Equal(mine.In, now.Addresses) {
		if again {
			out.Previous, out.Changed = mine.Previous, true
		}
		return out, nil
	}
	// the run's word is kept even so: it is what Reconcile goes by from now on
	return out, h.writeState(state{
		Run: in.Run, Upstream: in.Upstream, Generation: now.Generation, In: now.Addresses, Previous: now.Addresses,
	})
}

// change writes the sets, has nginx check and load them, and waits until they are
// served. Refused means that all files are back to the byte.
func (h Hand) change(ctx context.Context, id string, in runbook.ProxyInput, sets map[string][]string, generation int, before map[string][]byte) error {
	if err := h.write(in.Proxy.AddressDir, sets, generation); err != nil {
		return also(err, h.restore(in.Proxy.AddressDir, before))
	}
	if err := h.check(ctx, id); err != nil {
		if runbook.KindOf(err) == runbook.Refused {
			return also(err, h.restore(in.Proxy.AddressDir, before))
		}
		return err // whether nginx would take it is not known: the next attempt asks again
	}
	if err := h.reload(ctx, id); err != nil {
		return err
	}
	return h.awaitServed(ctx, in.Proxy, generation)
}
