package engine

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leanvibe/hive/api/client"
)

// metrics are those of doc.go.
type metrics struct {
	taken    prometheus.Counter
	done     *prometheus.CounterVec
	running  *prometheus.GaugeVec
	finished *prometheus.CounterVec
	duration *prometheus.HistogramVec
	progress *prometheus.CounterVec
}

// handlerOutcomes are how a handler's run may end.
var handlerOutcomes = []string{"ok", "retryable", "permanent", "panic", "deadline", "lost", "released"}

func newMetrics(reg prometheus.Registerer, e *Engine, own map[string]Handler) *metrics {
	m := &metrics{
		taken: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leanvibe_engine_tasks_taken_total", Help: "Executions begun.",
		}),
		done: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leanvibe_engine_tasks_done_total", Help: "Executions ended, by outcome.",
		}, []string{"outcome"}),
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "leanvibe_engine_running", Help: "Handlers running.",
		}, []string{"handler"}),
		finished: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leanvibe_engine_finished_total", Help: "Runs of handlers that ended, by how.",
		}, []string{"handler", "outcome"}),
		progress: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leanvibe_engine_progress_total", Help: "Progress reports, by what became of them.",
		}, []string{"outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "leanvibe_engine_task_duration_seconds", Help: "Time in the handler in seconds.",
			Buckets: []float64{.00001, .0001, .001, .01, .1, 1, 10, 60, 600},
		}, []string{"handler"}),
	}
	for _, outcome := range []string{"ok", "failed", "lost", "released"} {
		m.done.WithLabelValues(outcome)
	}
	for _, outcome := range []string{"stored", "thinned", "dropped"} {
		m.progress.WithLabelValues(outcome)
	}
	m.finished.WithLabelValues(unknownHandler, "permanent")
	for _, name := range append(slices.Collect(maps.Keys(own)), builtin...) {
		m.running.WithLabelValues(name)
		for _, outcome := range handlerOutcomes {
			m.finished.WithLabelValues(name, outcome)
		}
	}
	gauge := func(name, help, state string, read func(Status) int) prometheus.GaugeFunc {
		opts := prometheus.GaugeOpts{Name: name, Help: help}
		if state != "" {
			opts.ConstLabels = prometheus.Labels{"state": state}
		}
		return prometheus.NewGaugeFunc(opts, func() float64 { return float64(read(e.Status())) })
	}
	const agents, agentsHelp = "leanvibe_engine_agents", "Agents by state."
	reg.MustRegister(m.taken, m.done, m.running, m.finished, m.duration, m.progress,
		gauge("leanvibe_engine_in_flight", "Executions going on.", "", func(s Status) int { return s.InFlight }),
		gauge(agents, agentsHelp, "configured", func(s Status) int { return s.Agents }),
		gauge(agents, agentsHelp, "attached", func(s Status) int { return s.Attached }))
	return m
}

// ended counts one execution's end.
func (m *metrics) ended(err error) {
	outcome := "failed"
	switch {
	case err == nil:
		outcome = "ok"
	case errors.Is(err, client.ErrLost):
		outcome = "lost"
	case errors.Is(err, client.ErrGraceOver):
		outcome = "released"
	}
	m.done.WithLabelValues(outcome).Inc()
}

// time measures one run of a handler.
func (m *metrics) time(handler string) func() {
	start := time.Now()
	running := m.running.WithLabelValues(handler)
	running.Inc()
	return func() {
		running.Dec()
		m.duration.WithLabelValues(handler).Observe(time.Since(start).Seconds())
	}
}
