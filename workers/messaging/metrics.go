package messaging

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leanvibe/hive/api/frame"
)

// metrics are those of doc.go.
type metrics struct {
	stored   prometheus.Counter
	events   *prometheus.CounterVec
	sessions prometheus.Gauge
	closed   *prometheus.CounterVec
	delivery prometheus.Histogram
	commit   prometheus.Histogram
	waiting  prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		stored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leanvibe_messages_total", Help: "Messages stored.",
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leanvibe_message_events_total", Help: "What became of messages.",
		}, []string{"event"}),
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leanvibe_hub_sessions", Help: "WebSockets open.",
		}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leanvibe_hub_closed_total", Help: "WebSockets closed, by reason.",
		}, []string{"reason"}),
		delivery: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "leanvibe_message_delivery_duration_ms",
			Help:    "Milliseconds from a batch taken in by a hub to written to the agent's socket; clocks of two hubs may differ.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000, 10000},
		}),
	}
	m.commit = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "leanvibe_message_commit_duration_ms",
		Help:    "Milliseconds from a batch read off its socket to stored in Redis.",
		Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000, 10000},
	})
	m.waiting = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "leanvibe_hub_waiting_bytes", Help: "Bytes of messages that wait for Redis.",
	})
	reg.MustRegister(m.stored, m.events, m.sessions, m.closed, m.delivery, m.commit, m.waiting)
	for _, e := range []string{"delivered", "acknowledged", "duplicate", "refused"} {
		m.events.WithLabelValues(e)
	}
	for _, r := range []endReason{endDraining, endSlow, endReplaced, endClient, endError} {
		m.closed.WithLabelValues(string(r))
	}
	return m
}

func (m *metrics) count(event string, n int) { m.events.WithLabelValues(event).Add(float64(n)) }

// tallyDelivered counts what has been written to a client's socket.
func (h *hub) tallyDelivered(queue []outgoing) {
	n, now := uint64(0), time.Now().UnixMicro()
	for i := range queue {
		e := queue[i].entry
		if e == nil {
			continue
		}
		n += e.count
		for rest := e.records; len(rest) > 0; {
			rec, next, err := frame.SkipRecord(rest)
			if err != nil {
				break // newEntry has read it before
			}
			rest = next
			h.metrics.delivery.Observe(float64(now-int64(rec.AtMicros)) / 1000)
		}
	}
	h.metrics.count("delivered", int(n))
}
