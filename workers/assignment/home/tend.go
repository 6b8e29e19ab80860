package home

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/route"
)

// tend keeps a desk at one partition, at whoever owns it.
func (h *Home) tend(ctx context.Context, n int) {
	directory := h.opts.Router.Directory
	for ctx.Err() == nil {
		changed := directory.Changed()
		if owner := directory.Owner(n); owner != nil {
			holder := directory.Holder(n)
			at, err := owner.Desk(ctx)
			if err == nil {
				moved := h.open(ctx, n, at, holder)
				h.end(ctx, at, moved)
				h.shut(n)
				continue
			}
			directory.Suspect(n)
		}
		pause := time.NewTimer(askAgain)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-pause.C:
		}
		pause.Stop()
	}
}

// open seats everybody at a new desk and grants slots there until it has gone, it is not
// known who sits there, or the partition has another holder (true): one that Redis does
// not reach may not know yet.
func (h *Home) open(ctx context.Context, n int, at route.Desk, holder string) (moved bool) {
	h.mu.Lock()
	h.desks[n].Desk = at
	guests := slices.Collect(maps.Values(h.guests)) // with the desk: who comes later sits down himself
	h.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, callMost)
	refused, err := h.seat(limited, at, n, guests)
	cancel()
	for g, err := range refused {
		h.opts.Log.Warn("a partition does not take an agent: sent away", "agent", g.spec.ID, "partition", n, "error", err)
		g.stream.Gone(Draining)
	}
	if err != nil {
		return false
	}
	for {
		changed := h.opts.Router.Directory.Changed()
		if now := h.opts.Router.Directory.Holder(n); now != "" && now != holder {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-at.Over():
			return false
		case <-h.desks[n].anew:
			return false
		case <-changed:
		case <-h.desks[n].wake:
		}
		if grants := h.grants(n); len(grants) > 0 {
			limited, cancel := context.WithTimeout(ctx, callMost)
			err := patiently(limited, func() error { return at.Grant(limited, grants) })
			cancel()
			if err != nil {
				return false // whether they arrived is not known: everybody is seated anew, with what was asked
			}
		}
	}
}

// end closes a desk when its last word has come. What a former owner assigned must be heard
// before the next one seats the guests: told afterwards, an older attempt would take the
// place of the newer one at the agent.
func (h *Home) end(ctx context.Context, at route.Desk, moved bool) {
	if moved {
		within(ctx, h.lastWords, at.Over())
	}
	at.Close()
	within(ctx, closeMost, at.Over())
}

// within waits for an event, ctx's end or a time.
func within(ctx context.Context, most time.Duration, event <-chan struct{}) {
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case <-event:
	case <-late.C:
	case <-ctx.Done():
	}
}

// grants answers what is to be granted at a desk.
func (h *Home) grants(n int) []partition.Grant {
	h.mu.Lock()
	asks := h.desks[n].asks
	h.desks[n].asks = map[*seat]struct{}{}
	h.mu.Unlock()
	out := make([]partition.Grant, 0, len(asks))
	for s := range asks {
		g := s.guest
		g.mu.Lock()
		if s.open && !g.left {
			out = append(out, partition.Grant{Agent: g.spec.ID, Sink: s, Slots: s.asked})
		}
		g.mu.Unlock()
	}
	return out
}

// shut forgets a desk. What its guests were granted there stays theirs until they are
// seated again: the partition may still say so.
func (h *Home) shut(n int) {
	h.mu.Lock()
	h.desks[n].Desk = nil
	h.mu.Unlock()
	for _, g := range h.everybody() {
		g.mu.Lock()
		s := &g.seats[n]
		s.open, s.wanted = false, false
		g.mu.Unlock()
	}
}
