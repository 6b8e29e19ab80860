package proxy

import (
	"context"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	lookEvery = 200 * time.Millisecond
	// late is how long after a moment nginx may still write a line that carries it.
	late = 200 * time.Millisecond
	// watchDefault bounds a wait that names no deadline.
	watchDefault = time.Minute
)

// follow gives the lines of a span of time as they come, until enough says so; that
// is asked after each look, with the moment before which every line was given.
func (h Hand) follow(ctx context.Context, proxy runbook.ProxyPolicy, from, until time.Time, give func(line), enough func(time.Time) bool) error {
	defer beating(ctx)()
	t, err := h.tail(proxy, from, until)
	if err != nil {
		return err
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		now := time.Now().Add(-late)
		if err := t.next(ctx, give); err != nil {
			return err
		}
		if enough(now) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// AwaitTraffic answers runbook.AwaitTraffic. Only what the address itself answered
// counts: a connection that it refuses, a 5xx or the 503 of its draining is no
// proof that it serves.
func (h Hand) AwaitTraffic(ctx context.Context, in runbook.WatchTrafficInput) (runbook.TrafficSeen, error) {
	w, err := watching(ctx, in)
	if err != nil {
		return runbook.TrafficSeen{}, err
	}
	out, least := runbook.TrafficSeen{}, max(in.Requests, 1)
	err = h.follow(ctx, in.Proxy, w.since, w.deadline.Add(late), func(l line) {
		for i, t := range l.Tries {
			if t.Address == w.address && l.answered(i) {
				out.Requests++
			}
		}
	}, func(now time.Time) bool {
		out.Met = out.Requests >= least
		return out.Met || now.After(w.deadline)
	})
	out.Took = runbook.Duration(time.Since(w.began))
	return out, err
}

// AwaitQuiet answers runbook.AwaitQuiet. nginx logs a request at its end; its begin
// is reckoned back from its times, so that a long request or a WebSocket that ends
// now, and began before the traffic moved, does not count as new. What the log
// cannot show is a request that began and has not ended: the replica itself knows
// it, and finishes it after SIGTERM. No such request can be followed by another on
// its connection, for a worker that is shutting down closes it after the answer.
func (h Hand) AwaitQuiet(ctx context.Context, in runbook.WatchTrafficInput) (runbook.TrafficSeen, error) {
	w, err := watching(ctx, in)
	if err != nil {
		return runbook.TrafficSeen{}, err
	}
	quiet := in.Quiet.Or(in.Proxy.Quiet.D())
	if quiet <= 0 {
		return runbook.TrafficSeen{}, runbook.Fail(runbook.Refused, "quiet for no time is no quiet: proxy.quiet must be keepalive_min_timeout + 1s, for example 3s")
	}
	out, last := runbook.TrafficSeen{}, w.since
	err = h.follow(ctx, in.Proxy, w.since, w.deadline.Add(late), func(l line) {
		for i, t := range l.Tries {
			if began := l.began(i); t.Address == w.address && began.After(w.since) {
				out.Requests++
				if began.After(last) {
					last = began
				}
			}
		}
	}, func(now time.Time) bool {
		out.Met = now.Sub(last) >= quiet
		return out.Met || now.After(w.deadline)
	})
	out.Took = runbook.Duration(time.Since(w.began))
	return out, err
}

// watch is a wait with its times set.
type watch struct {
	address                string
	began, since, deadline time.Time
}

func watching(ctx context.Context, in runbook.WatchTrafficInput) (watch, error) {
	address, err := tidyOne(in.Upstream, in.Address)
	if err != nil {
		return watch{}, err
	}
	w := watch{address: address, began: began(ctx), since: in.Since}
	if w.since.IsZero() {
		w.since = w.began
	}
	w.deadline = w.began.Add(in.Deadline.Or(watchDefault))
	return w, nil
}
