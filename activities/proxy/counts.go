package proxy

import (
	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/leanvibe/hive/workflows/runbook"
)

// longest is the longest time that is told apart, in ms: one hour.
const longest = 3_600_000

// times are latencies in ms, in a space that does not grow: three digits are exact.
type times struct{ *hdrhistogram.Histogram }

func newTimes() times { return times{hdrhistogram.New(1, longest, 3)} }

func (t times) add(ms int64) {
	_ = t.RecordValue(min(ms, longest)) // the only error is a value out of the range
}

// at returns the quantile in ms, nil where nothing was counted.
func (t times) at(percent float64) *float64 {
	if t.TotalCount() == 0 {
		return nil
	}
	ms := float64(t.ValueAtQuantile(percent))
	return &ms
}

// counts are the tries of one address, or of several together.
type counts struct {
	requests, failed int
	times            times
}

func newCounts() *counts { return &counts{times: newTimes()} }

// add counts one try of a line. Of an old replica a 503 is taken for its draining,
// on which nginx asks the next; of the one that is judged it is a failure like any
// other, because nobody has told that one to drain.
func (c *counts) add(l line, i int, mayDrain bool) {
	c.requests++
	drains := mayDrain && l.Tries[i].Status == draining
	if l.failed(i) && !drains {
		c.failed++
	}
	if l.answered(i) && !l.stream() {
		c.times.add(l.Tries[i].Took)
	}
}

func (c *counts) result() runbook.WindowCounts {
	out := runbook.WindowCounts{Requests: c.requests, Failed: c.failed}
	if p50, p99 := c.times.at(50), c.times.at(99); p50 != nil {
		out.P50MS, out.P99MS = *p50, *p99
	}
	return out
}

// decided says that the failures are too many for the window to go on: users pay
// for each further request.
func (c *counts) decided(p runbook.RollingPolicy) bool {
	return c.requests >= max(p.MinRequests, 1) && float64(c.failed) > p.MaxErrorRatio*float64(c.requests)
}
