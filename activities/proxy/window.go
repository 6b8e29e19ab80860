package proxy

import (
	"context"
	"slices"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

// MeasureWindow answers runbook.MeasureWindow. The log keeps what was counted, so a
// retry counts the same window from its begin and not a window of its own.
func (h Hand) MeasureWindow(ctx context.Context, in runbook.MeasureWindowInput) (runbook.WindowMeasure, error) {
	var none runbook.WindowMeasure
	address, err := tidyOne(in.Upstream, in.Address)
	if err != nil {
		return none, err
	}
	if in.Window <= 0 {
		return none, runbook.Fail(runbook.Refused, "a window of %s measures nothing: rolling.monitor must be for example 25s", in.Window)
	}
	since := in.Since
	if since.IsZero() {
		since = began(ctx)
	}
	end := since.Add(in.Window.D())
	judged, others, until := newCounts(), newCounts(), end
	err = h.follow(ctx, in.Proxy, since, end, func(l line) {
		for i, t := range l.Tries {
			switch {
			case t.Address == address:
				judged.add(l, i, false)
			case slices.Contains(in.Others, t.Address):
				others.add(l, i, true)
			}
		}
	}, func(now time.Time) bool {
		if judged.decided(in.Rolling) && now.Before(end) {
			until = now
			return true
		}
		return !now.Before(end)
	})
	if err != nil {
		return none, err
	}
	return runbook.WindowMeasure{
		Address: judged.result(), Others: others.result(), Took: runbook.Duration(max(until.Sub(since), 0)),
	}, nil
}
