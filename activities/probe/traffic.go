package probe

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// watchRate per second where the input names none.
	watchRate = 10
	// rateMax bounds a probe: it looks, it does not load.
	rateMax = 500
)

// tally is what a stream has counted; it travels in heartbeats.
type tally struct {
	Requests int64     `json:"requests"`
	Failed   int64     `json:"failed"`
	Gap      int64     `json:"gap"`
	Times    histogram `json:"times"`
	// Spent is the part of the window that is over.
	Spent time.Duration `json:"spent"`
}

// count is a tally in use.
type count struct {
	mu   sync.Mutex
	all  tally
	good time.Time // of the last success in this attempt
}

// resumed goes on from what an earlier attempt of this act had counted. Requests
// in flight when that one was killed are nobody's.
func resumed(ctx context.Context) *count {
	c := &count{}
	if activity.IsActivity(ctx) && activity.HasHeartbeatDetails(ctx) {
		var before tally
		if activity.GetHeartbeatDetails(ctx, &before) == nil {
			c.all = before
		}
	}
	if c.all.Times == nil {
		c.all.Times = histogram{}
	}
	return c
}

func (c *count) add(s sent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all.Requests++
	if s.failed {
		c.all.Failed++
		return
	}
	c.all.Times.add(s.took)
	if !c.good.IsZero() {
		c.all.Gap = max(c.all.Gap, int64(s.at.Sub(c.good)))
	}
	if s.at.After(c.good) {
		c.good = s.at
	}
}

// snapshot is a copy that nobody counts on.
func (c *count) snapshot() tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.all
	out.Times = make(histogram, len(c.all.Times))
	for b, n := range c.all.Times {
		out.Times[b] = n
	}
	return out
}

// Supply answers runbook.SupplyTraffic.
func (h Hand) Supply(ctx context.Context, in runbook.SupplyInput) (runbook.Supplied, error) {
	if err := sendable(in.Rate, in.URL); err != nil {
		return runbook.Supplied{}, err
	}
	if in.Window <= 0 {
		return runbook.Supplied{}, runbook.Fail(runbook.Refused, "traffic for %s is none: name a window, for example 25s", in.Window)
	}
	c, start := resumed(ctx), time.Now()
	before := c.all.Spent
	report := func() {
		t := c.snapshot()
		t.Spent = before + time.Since(start)
		beat(ctx, t)
	}
	report()
	if left := in.Window.D() - before; left > 0 {
		pacer{h, []string{in.URL}, in.Rate, in.Post}.run(ctx, left, c.add, report)
	}
	report()
	t := c.snapshot()
	return runbook.Supplied{Sent: int(t.Requests), Failed: int(t.Failed)}, ctx.Err()
}

// Watch answers runbook.Watch: it counts until it is told to stop, and then
// answers, for that is how the change that it watched ends.
func (h Hand) Watch(ctx context.Context, in runbook.WatchInput) (runbook.Traffic, error) {
	rate := in.Rate
	if rate == 0 {
		rate = watchRate
	}
	if err := sendable(rate, in.URLs...); err != nil {
		return runbook.Traffic{}, err
	}
	c := resumed(ctx)
	beat(ctx, c.snapshot())
	pacer{h, in.URLs, rate, ""}.run(ctx, 0, c.add, func() { beat(ctx, c.snapshot()) })
	return c.snapshot().traffic(), nil
}

func (t tally) traffic() runbook.Traffic {
	out := runbook.Traffic{Source: "probe", Requests: t.Requests, Failed: t.Failed, P99DuringMS: t.Times.percentile(0.99)}
	if t.Requests-t.Failed > 1 { // between one success and nothing there is no gap to know
		gap := float64(t.Gap) / float64(time.Millisecond)
		out.LongestGapMS = &gap
	}
	return out
}

func sendable(rate int, urls ...string) error {
	if rate < 1 || rate > rateMax {
		return runbook.Fail(runbook.Refused, "%d requests a second are refused: from 1 to %d", rate, rateMax)
	}
	if len(urls) == 0 {
		return runbook.Fail(runbook.Refused, "nothing to probe: name at least one URL, for example http://127.0.0.1:8080/health")
	}
	for _, u := range urls {
		if err := webURL(u); err != nil {
			return err
		}
	}
	return nil
}
