package process

import (
	"net"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/leanvibe/hive/workers/process/access"
)

// metrics are those of doc.go.
type metrics struct {
	registry    *prometheus.Registry
	duration    *prometheus.HistogramVec
	inFlight    *prometheus.GaugeVec
	connections prometheus.Gauge
	refused     prometheus.Counter
	errors      *prometheus.CounterVec
	turnedAway  *prometheus.CounterVec
	fileErrors  prometheus.Counter
	logErrors   prometheus.Counter
	draining    prometheus.Gauge

	requests, streams atomic.Int64
}

func newMetrics(cfg Config) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "leanvibe_http_request_duration_seconds",
			Help:    "Time from request to end of answer in seconds; streams are left out.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route", "method", "code"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "leanvibe_http_in_flight", Help: "Requests being answered; health and metrics are not counted.",
		}, []string{"kind"}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leanvibe_http_connections", Help: "Open TCP connections of the HTTP server; hijacked ones are left out.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leanvibe_http_refused_draining_total", Help: "Requests answered 503 because the process drains.",
		}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leanvibe_errors_total", Help: "Errors by kind; http_5xx are answers, a drain's refusals left out.",
		}, []string{"kind"}),
		turnedAway: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leanvibe_access_refused_total", Help: "Requests refused at the door by reason, and peers that sent or read too slowly.",
		}, []string{"reason"}),
		fileErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leanvibe_access_reload_errors_total", Help: "Changed token or TLS files that could not be taken; what was in force stays.",
		}),
		logErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leanvibe_log_write_errors_total", Help: "Log lines that did not reach the log file.",
		}),
		draining: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leanvibe_draining", Help: "1 from SIGTERM on.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "leanvibe_build_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"service": cfg.Service, "version": cfg.Version, "instance_name": cfg.Instance},
	})
	build.Set(1)
	m.registry.MustRegister(m.duration, m.inFlight, m.connections, m.refused, m.errors,
		m.turnedAway, m.fileErrors, m.logErrors, m.draining, build,
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsScheduler)), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// A series that never appeared is "no data", not zero: make them exist.
	m.errors.WithLabelValues("http_5xx")
	for _, reason := range access.Reasons() {
		m.turnedAway.WithLabelValues(reason)
	}
	m.inFlight.WithLabelValues("request")
	m.inFlight.WithLabelValues("stream")
	return m
}

// connState keeps leanvibe_http_connections.
func (m *metrics) connState(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		m.connections.Inc()
	case http.StateClosed, http.StateHijacked:
		m.connections.Dec()
	}
}
