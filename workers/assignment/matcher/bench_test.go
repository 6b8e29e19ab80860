package matcher_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/matcher/matcherload"
)

func benchmark(b *testing.B, agents int) {
	l, err := matcherload.New(matcherload.Config{Agents: agents, Waiting: 1_000_000, Seed: 1})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Step(); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	r, err := l.Measure(1_000_000)
	require.NoError(b, err)
	b.ReportMetric(float64(r.P50), "p50-ns")
	b.ReportMetric(float64(r.P99), "p99-ns")
	b.ReportMetric(r.PerSecond, "assignments/s")
	b.ReportMetric(r.Comparisons, "comparisons/op")
}

func BenchmarkAssign1kAgents1MTasks(b *testing.B)   { benchmark(b, 1_000) }
func BenchmarkAssign100kAgents1MTasks(b *testing.B) { benchmark(b, 100_000) }

func TestSteadyStateAllocatesNothing(t *testing.T) {
	l, err := matcherload.New(matcherload.Config{Agents: 1000, Waiting: 50_000, Seed: 1})
	require.NoError(t, err)
	// The first steps may still grow tables of lanes and shapes.
	for range 20_000 {
		require.NoError(t, l.Step())
	}
	require.Zero(t, testing.AllocsPerRun(10_000, func() {
		if err := l.Step(); err != nil {
			t.Fatal(err)
		}
	}))
}
