package archive

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// way is how a batch of tasks, all of them new, comes into the table.
type way struct {
	name string
	do   func(ctx context.Context, s *Store, tasks []partition.Task) error
}

// ways are a batch as it goes now, and by a pipelined statement for each task, which
// is how all tasks went once and how those that are there already still go.
var ways = []way{
	{"copy", func(ctx context.Context, s *Store, tasks []partition.Task) error { return s.Insert(ctx, tasks) }},
	{"statements", func(ctx context.Context, s *Store, tasks []partition.Task) error {
		return s.write(ctx, distinct(tasks), replace)
	}},
}

// The rows that a second takes, by each way; "alternately" takes both in turn, so that
// what else the machine does is the same for both, and says how many times as fast the
// first is.
func BenchmarkStore_Insert(b *testing.B) {
	for _, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			s, _ := storeOn(b)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				tasks := tasksOf(0, batchMost)
				b.StartTimer()
				require.NoError(b, w.do(b.Context(), s, tasks))
			}
			b.ReportMetric(float64(b.N*batchMost)/b.Elapsed().Seconds(), "rows/s")
		})
	}
	b.Run("alternately", func(b *testing.B) {
		s, _ := storeOn(b)
		took := make([]time.Duration, len(ways))
		for b.Loop() {
			for i, w := range ways {
				tasks := tasksOf(0, batchMost)
				start := time.Now()
				require.NoError(b, w.do(b.Context(), s, tasks))
				took[i] += time.Since(start)
			}
		}
		for i, w := range ways {
			b.ReportMetric(float64(b.N*batchMost)/took[i].Seconds(), w.name+"-rows/s")
		}
		b.ReportMetric(float64(took[1])/float64(took[0]), "times")
	})
}

// The lines that a second takes in the file of an hour, on disk.
func BenchmarkSegments_Append(b *testing.B) {
	s, err := OpenSegments(SegmentsConfig{Dir: b.TempDir(), Instance: "orch-1"})
	require.NoError(b, err)
	defer s.Close()
	tasks := tasksOf(0, batchMost)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, s.Append(tasks))
	}
	b.ReportMetric(float64(b.N*batchMost)/b.Elapsed().Seconds(), "rows/s")
}
