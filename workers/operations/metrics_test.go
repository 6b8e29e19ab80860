package operations

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

var quiet = slog.New(slog.DiscardHandler)

func TestUsageIsWhatTheEngineMeasuredLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer runbook.StatsOutput
		var engineAway, filesBroken atomic.Bool
		failing := func(away *atomic.Bool) error {
			if away.Load() {
				return errors.New("as asked")
			}
			return nil
		}
		u := newUsage(
			func(context.Context) (string, error) { return "leanvibe", failing(&filesBroken) },
			func(_ context.Context, in runbook.StatsInput) (runbook.StatsOutput, error) {
				if in.Project != "leanvibe" {
					return runbook.StatsOutput{}, errors.New("asked for " + in.Project)
				}
				return answer, failing(&engineAway)
			}, quiet)
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(u)
		require.Empty(t, gathered(t, registry), "before the first sample there is no data")

		answer.Containers = []runbook.ContainerStats{
			{Name: "leanvibe-communication-hub-1", Service: "communication-hub", MemoryBytes: 14 << 20, MemoryLimit: 128 << 20, CPU: .25},
			{Name: "leanvibe-nginx-1", Service: "nginx", MemoryBytes: 9 << 20, CPU: 1.5},
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- u.run(ctx) }()
		synctest.Wait()
		full := map[string]float64{
			"hive_container_memory_bytes{name=leanvibe-communication-hub-1,service=communication-hub}":       14 << 20,
			"hive_container_memory_limit_bytes{name=leanvibe-communication-hub-1,service=communication-hub}": 128 << 20,
			"hive_container_cpu_ratio{name=leanvibe-communication-hub-1,service=communication-hub}":          .25,
			"hive_container_memory_bytes{name=leanvibe-nginx-1,service=nginx}":                               9 << 20,
			"hive_container_cpu_ratio{name=leanvibe-nginx-1,service=nginx}":                                  1.5,
		}
		require.Equal(t, full, gathered(t, registry))

		for name, away := range map[string]*atomic.Bool{"the engine is away": &engineAway, "the compose file is broken": &filesBroken} {
			away.Store(true)
			pass(sampleEvery)
			synctest.Wait()
			require.Empty(t, gathered(t, registry), "%s: an old number would look like a good one", name)
			away.Store(false)
			pass(sampleEvery)
			synctest.Wait()
			require.Equal(t, full, gathered(t, registry), "and it is back")
		}
		cancel()
		require.NoError(t, <-ended)
		pass(freshFor + time.Second)
		require.Empty(t, gathered(t, registry), "a sample that nobody renews grows stale")
	})
}

func TestAnEngineThatHangsIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		u := newUsage(
			func(context.Context) (string, error) { return "leanvibe", nil },
			func(ctx context.Context, _ runbook.StatsInput) (runbook.StatsOutput, error) {
				if hang.Load() {
					<-ctx.Done()
					return runbook.StatsOutput{}, ctx.Err()
				}
				return runbook.StatsOutput{Containers: []runbook.ContainerStats{{Name: "a", Service: "b"}}}, nil
			}, quiet)
		registry := prometheus.NewRegistry()
		registry.MustRegister(u)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = u.run(ctx) }()
		synctest.Wait()
		require.NotEmpty(t, gathered(t, registry))
		hang.Store(true)
		pass(sampleEvery + freshFor + time.Second)
		require.Empty(t, gathered(t, registry))
		cancel()
		synctest.Wait()
	})
}

// pass lets the time of a synctest bubble pass.
func pass(d time.Duration) { <-time.After(d) }
