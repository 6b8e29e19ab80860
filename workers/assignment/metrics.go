package assignment

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leanvibe/hive/workers/assignment/home"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/placement"
)

// metrics are those of docs/metrics.md.
type metrics struct {
	assignment prometheus.Histogram
	durable    prometheus.Histogram
	tasks      map[string]prometheus.Counter // by event
	depth      *prometheus.GaugeVec
	backlog    prometheus.Gauge
}

// milliseconds are the buckets of both histograms: from a microsecond, because that is what
// an assignment takes, to what an operator would call an outage.
var milliseconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 5000}

// events are in the life of tasks, as one replica sees them.
var events = []string{"submitted", "duplicate", "refused", "forwarded", "started", "completed", "failed", "late_refused", "released", "lost", "expired", "archived"}

func newMetrics(reg prometheus.Registerer, at *home.Home, keeper *placement.Keeper) *metrics {
	m := &metrics{
		assignment: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "leanvibe_task_assignment_duration_ms",
			Help:    "Milliseconds from a decoded call, before it is handed to its partition, until an assignment that it caused was decided.",
			Buckets: milliseconds,
		}),
		durable: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "leanvibe_task_durable_duration_ms",
			Help:    "Milliseconds from the same instant until what the call changed was durable, and assignments were on their way to agents.",
			Buckets: milliseconds,
		}),
		tasks: map[string]prometheus.Counter{},
		depth: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "leanvibe_task_queue_depth", Help: "Tasks by state, in all queues of the partitions that this replica owns.",
		}, []string{"state"}),
		backlog: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leanvibe_archive_backlog", Help: "Finished tasks not yet archived, of the partitions that this replica owns.",
		}),
	}
	tasks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "leanvibe_tasks_total", Help: "Events in the life of tasks, as seen by this replica.",
	}, []string{"event"})
	reg.MustRegister(m.assignment, m.durable, tasks, m.depth, m.backlog)
	for _, g := range []struct {
		name, help string
		value      func() float64
	}{
		{"leanvibe_agents_attached", "Agents whose home is this replica.", func() float64 { return float64(at.Attached()) }},
		{"leanvibe_replica_aside", "1 while this replica was told to take no agents and no partitions.", func() float64 {
			if keeper.Aside() {
				return 1
			}
			return 0
		}},
		{"leanvibe_partitions_owned", "Partitions that this replica owns.", func() float64 { return float64(keeper.Owned()) }},
		{"leanvibe_journal_lag_ms", "Milliseconds that the oldest batch under way has been on its way to the journal.", func() float64 {
			return float64(keeper.Lag()) / float64(time.Millisecond)
		}},
	} {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: g.name, Help: g.help}, g.value))
	}
	for _, event := range events {
		m.tasks[event] = tasks.WithLabelValues(event)
	}
	return m
}

func (m *metrics) count(event string, n int) { m.tasks[event].Add(float64(n)) }

func (m *metrics) submitted(o *partition.Submitted) {
	switch {
	case o.Err != nil:
		m.count("refused", 1)
	case o.Duplicate:
		m.count("duplicate", 1)
	default:
		m.count("submitted", 1)
	}
}

// decided is told by a partition.
func (m *metrics) decided(took time.Duration, assignments int) {
	m.assignment.Observe(float64(took) / float64(time.Millisecond))
	m.count("started", assignments)
}

// madeDurable is told by a partition.
func (m *metrics) madeDurable(took time.Duration, _ int) {
	m.durable.Observe(float64(took) / float64(time.Millisecond))
}

// sampleEvery is how often a partition is asked for its counters.
const sampleEvery = 2 * time.Second

// sample is what one partition adds to this replica's gauges.
type sample struct {
	partition.Stats
	backlog int
}

// watch adds a partition to the gauges as long as this replica owns it.
func (m *metrics) watch(ctx context.Context, p *partition.Partition) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var last sample
	first := true
	for {
		select {
		case <-ctx.Done():
		case <-p.Over():
		case <-tick.C:
			queues, err := p.Stats(ctx)
			if err != nil {
				continue // it ends, or is too busy to be asked
			}
			now := sample{backlog: p.Backlog()}
			for i := range queues {
				now.Add(&queues[i])
			}
			if !first { // what the owner before has counted is not this replica's
				m.count("lost", int(now.LostAttempts-last.LostAttempts))
				m.count("expired", int(now.Expired-last.Expired))
			}
			m.move(&last, &now)
			last, first = now, false
			continue
		}
		m.move(&last, &sample{})
		return
	}
}

func (m *metrics) move(from, to *sample) {
	m.depth.WithLabelValues("waiting").Add(float64(to.Waiting) - float64(from.Waiting))
	m.depth.WithLabelValues("running").Add(float64(to.Running) - float64(from.Running))
	m.backlog.Add(float64(to.backlog - from.backlog))
}
