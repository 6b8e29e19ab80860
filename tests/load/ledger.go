package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Class is a kind of request with a latency of its own.
type Class string

const (
	// Read is GET /v1/tasks/{id} of a task acknowledged earlier.
	Read Class = "read"
	// Stats is GET /v1/stats of the run's queue.
	Stats Class = "stats"
	// Submit is POST /v1/tasks with an idempotency key of its own.
	Submit Class = "submit"
	// Slow is a long poll that the server holds for seconds; its latency says nothing about the others.
	Slow Class = "slow"
)

// Phase divides the run; a request belongs to the phase in which it was due.
type Phase string

const (
	// Before is traffic on the untouched stack.
	Before Phase = "before"
	// During is traffic while a procedure acts.
	During Phase = "during"
	// After is traffic on the stack as the procedure left it.
	After Phase = "after"
)

// entry is one request as the client saw it.
type entry struct {
	class    Class
	phase    Phase
	key      string // idempotency key of a Submit
	task     string // task id that the server gave, if any
	due      time.Time
	latency  time.Duration // from due to the last byte
	lag      time.Duration // from due to the moment the loader began: the loader's own share
	status   int           // 0: no whole response
	instance string
	version  string
	fault    string // why it counts as failed; empty: it does not
}

// ledger holds every request of the client's side.
type ledger struct {
	mu      sync.Mutex
	entries []entry
	failed  int64
	// latency holds microseconds per phase, without the Slow class; slow holds that class over the whole run.
	latency map[Phase]*hdrhistogram.Histogram
	slow    *hdrhistogram.Histogram
	lag     *hdrhistogram.Histogram
	// recent is reset at each snapshot.
	recent *hdrhistogram.Histogram
}

func newLedger() *ledger {
	l := &ledger{latency: map[Phase]*hdrhistogram.Histogram{}, slow: histogram(), lag: histogram(), recent: histogram()}
	for _, p := range []Phase{Before, During, After} {
		l.latency[p] = histogram()
	}
	return l
}

// histogram holds 1 µs to 2 minutes with three digits.
func histogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (2 * time.Minute).Microseconds(), 3)
}

func (l *ledger) add(e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	if e.fault != "" {
		l.failed++
	}
	record(l.lag, e.lag)
	if e.class == Slow {
		record(l.slow, e.latency)
		return
	}
	record(l.latency[e.phase], e.latency)
	record(l.recent, e.latency)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	// A value above the histogram's end is counted at its end: it must not vanish.
	_ = h.RecordValue(min(max(d.Microseconds(), 1), h.HighestTrackableValue()))
}

func (l *ledger) snapshot(elapsed time.Duration) Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Snapshot{
		Elapsed: elapsed, Requests: int64(len(l.entries)), Failed: l.failed, Slowed: l.slow.TotalCount(),
		P99MS: float64(l.recent.ValueAtQuantile(99)) / 1000,
	}
	l.recent.Reset()
	return s
}

// quantileMS is a latency in milliseconds, or nil where nothing was measured.
func quantileMS(h *hdrhistogram.Histogram, q float64) *float64 {
	if h.TotalCount() == 0 {
		return nil
	}
	ms := float64(h.ValueAtQuantile(q)) / 1000
	return &ms
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	l := Latency{
		Requests: h.TotalCount(),
		P50MS:    quantileMS(h, 50), P90MS: quantileMS(h, 90), P99MS: quantileMS(h, 99), P999MS: quantileMS(h, 99.9),
	}
	if l.Requests > 0 {
		ms := float64(h.Max()) / 1000
		l.MaxMS = &ms
	}
	return l
}
