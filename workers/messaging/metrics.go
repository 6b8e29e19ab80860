package messaging

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of doc.go.
type metrics struct {
	stored   prometheus.Counter
	events   *prometheus.CounterVec
	sessions prometheus.Gauge
	closed   *prometheus.CounterVec
	delivery prometheus.Histogram
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
			Help:    "Milliseconds from stored to written to the agent's socket; clocks of two hubs may differ.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000, 10000},
		}),
	}
	reg.MustRegister(m.stored, m.events, m.sessions, m.closed, m.delivery)
	for _, e := range []string{"delivered", "acknowledged", "duplicate", "refused"} {
		m.events.WithLabelValues(e)
	}
	for _, r := range []endReason{endDraining, endSlow, endReplaced, endClient, endError} {
		m.closed.WithLabelValues(string(r))
	}
	return m
}

func (m *metrics) count(event string, n int) { m.events.WithLabelValues(event).Add(float64(n)) }

func (m *metrics) delivered(since time.Time) {
	m.count("delivered", 1)
	m.delivery.Observe(float64(time.Since(since).Microseconds()) / 1000)
}
