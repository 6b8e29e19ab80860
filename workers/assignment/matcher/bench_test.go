package matcher_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/matcher/matcherload"
)

const steps = 100_000

func benchmark(b *testing.B, agents int) {
	l, err := matcherload.New(matcherload.Config{Agents: agents, Waiting: 1_000_000, Seed: 1})
	require.NoError(b, err)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += steps {
		n := min(steps, b.N-done)
		b.StopTimer()
		require.NoError(b, l.Prepare(n))
		b.StartTimer()
		for range n {
			if err := l.Step(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	results, err := matcherload.Compare(b.Context(), 10, steps, l)
	require.NoError(b, err)
	r := results[0]
	b.ReportMetric(float64(r.P50), "p50-ns")
	b.ReportMetric(float64(r.P99), "p99-ns")
	b.ReportMetric(r.PerSecond, "assignments/s")
	b.ReportMetric(r.BatchPerSecond, "batched-assignments/s")
	b.ReportMetric(float64(r.Clock), "clock-ns")
	b.ReportMetric(r.PerCPUSecond, "assignments/cpu-s")
	b.ReportMetric(r.Comparisons, "comparisons/op")
}

func BenchmarkAssign1kAgents1MTasks(b *testing.B)   { benchmark(b, 1_000) }
func BenchmarkAssign100kAgents1MTasks(b *testing.B) { benchmark(b, 100_000) }

func TestSteadyStateAllocatesNothing(t *testing.T) {
	l, err := matcherload.New(matcherload.Config{Agents: 1000, Waiting: 50_000, Seed: 1})
	require.NoError(t, err)
	// The first steps may still grow tables of lanes and shapes.
	const warm, measured = 20_000, 10_000
	require.NoError(t, l.Prepare(warm+2*measured+1+2*matcherload.Batch)) // AllocsPerRun adds one
	for range warm {
		require.NoError(t, l.Step())
	}
	require.Zero(t, testing.AllocsPerRun(measured, func() {
		if err := l.Step(); err != nil {
			t.Fatal(err)
		}
	}))
	require.NoError(t, l.StepBatch()) // grows its own table
	require.Zero(t, testing.AllocsPerRun(measured/matcherload.Batch, func() {
		if err := l.StepBatch(); err != nil {
			t.Fatal(err)
		}
	}))
}

func TestAnUnpreparedStepIsRefused(t *testing.T) {
	l, err := matcherload.New(matcherload.Config{Agents: 256, Waiting: 2048, Seed: 1})
	require.NoError(t, err)
	require.ErrorContains(t, l.Step(), "Prepare")
	require.NoError(t, l.Prepare(matcherload.Batch-1))
	require.ErrorContains(t, l.StepBatch(), "Prepare")
}
