package operations

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// sampleEvery is as often as Prometheus scrapes.
	sampleEvery = 5 * time.Second
	// sampleMax bounds one sample; an engine that takes longer is away.
	sampleMax = 15 * time.Second
	// freshFor is how long a sample may be told; after it there is no data, which a
	// baseline judges as such, while an old number would look like a good one.
	freshFor = 3 * sampleEvery
)

// usage exports what each container of the stack uses. It samples by itself, so
// that a scrape waits for nobody.
type usage struct {
	project func(context.Context) (string, error)
	measure func(context.Context, runbook.StatsInput) (runbook.StatsOutput, error)
	log     *slog.Logger
	last    atomic.Pointer[sample]

	memory, limit, cpu *prometheus.Desc
}

type sample struct {
	at         time.Time
	containers []runbook.ContainerStats
}

func newUsage(
	project func(context.Context) (string, error),
	measure func(context.Context, runbook.StatsInput) (runbook.StatsOutput, error), log *slog.Logger,
) *usage {
	labels := []string{"service", "name"}
	return &usage{
		project: project, measure: measure, log: log,
		memory: prometheus.NewDesc("hive_container_memory_bytes", "Memory of a container of the stack, without page cache.", labels, nil),
		limit:  prometheus.NewDesc("hive_container_memory_limit_bytes", "Memory limit of a container of the stack; absent where it has none.", labels, nil),
		cpu:    prometheus.NewDesc("hive_container_cpu_ratio", "CPU use of a container of the stack; 1 is one core.", labels, nil),
	}
}

// Describe serves prometheus.Collector.
func (u *usage) Describe(out chan<- *prometheus.Desc) {
	out <- u.memory
	out <- u.limit
	out <- u.cpu
}

// Collect serves prometheus.Collector.
func (u *usage) Collect(out chan<- prometheus.Metric) {
	s := u.last.Load()
	if s == nil || time.Since(s.at) > freshFor {
		return
	}
	gauge := func(desc *prometheus.Desc, value float64, c runbook.ContainerStats) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, c.Service, c.Name)
	}
	for _, c := range s.containers {
		gauge(u.memory, float64(c.MemoryBytes), c)
		gauge(u.cpu, c.CPU, c)
		if c.MemoryLimit > 0 {
			gauge(u.limit, float64(c.MemoryLimit), c)
		}
	}
}

// run samples until the context ends.
func (u *usage) run(ctx context.Context) error {
	said := ""
	every(ctx, sampleEvery, func() {
		err := u.sample(ctx)
		if ctx.Err() != nil {
			return
		}
		said = sayOnce(u.log, said, "containers cannot be measured", err)
	})
	return nil
}

// sample replaces the last sample, by nothing where there is none to be had.
func (u *usage) sample(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sampleMax)
	defer cancel()
	project, err := u.project(ctx)
	if err != nil {
		u.last.Store(nil)
		return err
	}
	stats, err := u.measure(ctx, runbook.StatsInput{Project: project})
	if err != nil {
		u.last.Store(nil)
		return err
	}
	u.last.Store(&sample{at: time.Now(), containers: stats.Containers})
	return nil
}
