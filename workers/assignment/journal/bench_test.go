package journal

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// BenchmarkAppend500x128 appends batches of 500 records of 128 bytes, and in the
// same run sends the same records as lone pipelined XADDs; "ratio" is how many
// times faster the journal is.
func BenchmarkAppend500x128(b *testing.B) {
	for _, fsync := range []string{"everysec", "always"} {
		b.Run(fsync, func(b *testing.B) {
			c := newServer(b, "--appendonly", "yes", "--appendfsync", fsync).client(b)
			l := take(b, c, "a", 0)
			records := make([][]byte, 500)
			for i := range records {
				records[i] = make([]byte, 128)
			}
			var ours, lone time.Duration
			b.ResetTimer()
			for range b.N {
				from := time.Now()
				_, err := l.Append(b.Context(), records)
				require.NoError(b, err)
				ours += time.Since(from)
				from = time.Now()
				pipe := c.Pipeline()
				for _, r := range records {
					pipe.XAdd(b.Context(), &redis.XAddArgs{Stream: "lone", Values: []any{"b", r}})
				}
				_, err = pipe.Exec(b.Context())
				require.NoError(b, err)
				lone += time.Since(from)
			}
			b.ReportMetric(float64(500*b.N)/ours.Seconds(), "records/s")
			b.ReportMetric(float64(500*b.N)/lone.Seconds(), "xadd/s")
			b.ReportMetric(lone.Seconds()/ours.Seconds(), "ratio")
		})
	}
}
