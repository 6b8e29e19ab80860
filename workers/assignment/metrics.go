package assignment

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of doc.go.
type metrics struct {
	assignment prometheus.Histogram
	tasks      *prometheus.CounterVec
	depth      *prometheus.GaugeVec
	agents     prometheus.Gauge
	backlog    prometheus.Gauge
	redis      *prometheus.HistogramVec
	countError func(kind string)
}

func newMetrics(reg prometheus.Registerer, countError func(string)) *metrics {
	m := &metrics{
		assignment: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "leanvibe_task_assignment_duration_ms",
			Help:    "Milliseconds from the instant when the task waited and the agent had a free slot to the claim.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 5000},
		}),
		tasks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leanvibe_tasks_total", Help: "Events in the life of tasks, as seen by this replica.",
		}, []string{"event"}),
		depth: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "leanvibe_task_queue_depth", Help: "Tasks by state, in all queues.",
		}, []string{"state"}),
		agents: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leanvibe_agents_attached", Help: "Agents' streams that this replica holds.",
		}),
		backlog: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leanvibe_archive_backlog", Help: "Finished tasks not yet in PostgreSQL.",
		}),
		redis: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "leanvibe_redis_duration_seconds",
			Help:    "Time of one script call in seconds, with its retries.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"script"}),
		countError: countError,
	}
	reg.MustRegister(m.assignment, m.tasks, m.depth, m.agents, m.backlog, m.redis)
	for _, event := range []string{"submitted", "duplicate", "refused", "started", "completed", "failed",
		"late_refused", "released", "lost", "expired", "archived", "evicted"} {
		m.tasks.WithLabelValues(event)
	}
	return m
}

func (m *metrics) count(event string, n int) { m.tasks.WithLabelValues(event).Add(float64(n)) }

// assigned records one execution started.
func (m *metrics) assigned(waited time.Duration) {
	m.assignment.Observe(float64(waited.Microseconds()) / 1000)
	m.count("started", 1)
}

// script records one call of a script.
func (m *metrics) script(name string, took time.Duration, err error) {
	m.redis.WithLabelValues(name).Observe(took.Seconds())
	if err != nil {
		m.countError("redis")
	}
}
