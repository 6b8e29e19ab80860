package proxy

import (
	"context"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

// beside is how much before and after a run is measured.
const beside = time.Minute

// MeasureTraffic answers runbook.MeasureTraffic: what users got, whichever address
// gave it. A request failed if its client got a 5xx; a client that left by itself
// (499) was not failed by anybody. What follows the run is measured as far as it
// has happened.
func (h Hand) MeasureTraffic(ctx context.Context, in runbook.MeasureTrafficInput) (runbook.Traffic, error) {
	defer beating(ctx)()
	finished := in.Finished
	if finished.IsZero() {
		finished = began(ctx)
	}
	if in.Started.IsZero() || finished.Before(in.Started) {
		return runbook.Traffic{}, runbook.Fail(runbook.Refused, "a run from %s to %s cannot be measured", in.Started.Format(time.RFC3339), finished.Format(time.RFC3339))
	}
	t, err := h.tail(in.Proxy, in.Started.Add(-beside), finished.Add(beside))
	if err != nil {
		return runbook.Traffic{}, err
	}
	run := newRun(in.Started, finished)
	if err := t.next(ctx, run.add); err != nil {
		return runbook.Traffic{}, err
	}
	return run.traffic(), nil
}

// run is a run's traffic in the making.
type run struct {
	started, finished     int64
	before, during, after times
	out                   runbook.Traffic
	good, gap             int64 // the last success, and the longest time without one, in ms
	gaps                  bool
}

func newRun(started, finished time.Time) *run {
	return &run{
		started: started.UnixMilli(), finished: finished.UnixMilli(),
		before: newTimes(), during: newTimes(), after: newTimes(), out: runbook.Traffic{Source: "nginx"},
	}
}

func (r *run) add(l line) {
	failed := l.Status >= 500
	phase := r.during
	switch {
	case l.Ended < r.started:
		phase = r.before
	case l.Ended > r.finished:
		phase = r.after
	default:
		r.out.Requests++
		if failed {
			r.out.Failed++
		}
	}
	if failed || l.Status == clientLeft || l.stream() {
		return
	}
	phase.add(l.Took)
	if phase == r.during {
		r.succeeded(l.Ended)
	}
}

// succeeded measures the time between two successes. The log is in order but for
// some milliseconds between workers.
func (r *run) succeeded(at int64) {
	if r.good > 0 {
		r.gap, r.gaps = max(r.gap, at-r.good), true
	}
	r.good = max(r.good, at)
}

func (r *run) traffic() runbook.Traffic {
	out := r.out
	out.P99BeforeMS, out.P99DuringMS, out.P99AfterMS = r.before.at(99), r.during.at(99), r.after.at(99)
	if r.gaps { // between one success and nothing there is no gap to know
		gap := float64(r.gap)
		out.LongestGapMS = &gap
	}
	return out
}
