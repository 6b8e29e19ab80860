package assignment

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// BenchmarkTask is one task from its submit to its accepted result, over both streams, with
// client, server and agents in one process.
func BenchmarkTask(b *testing.B) {
	w := newWorld(b, away)
	r := w.start("one").ready(b)
	c := client.New(r.url, nil)
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	fleet := c.NewFleet(client.FleetConfig{Log: quiet})
	done := make(chan struct{}, 2000)
	for i := range 16 {
		require.NoError(b, fleet.Add(client.AgentConfig{
			ID: fmt.Sprint("agent-", i), Capacity: 200, Grace: time.Second,
			Handle: func(context.Context, *hivev1.Assignment) ([]byte, error) { return nil, nil },
			Done:   func(error) { <-done },
		}))
	}
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- fleet.Run(ctx) }()
	s := c.NewSubmitter(client.SubmitterConfig{Log: quiet})
	payload := make([]byte, 128)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		done <- struct{}{}
		n++
		s.Go(ctx, &hivev1.Draft{Queue: fmt.Sprint("q", n%16), Handler: "echo", Payload: payload}, func(_ client.Receipt, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
	require.NoError(b, s.Close(ctx))
	for len(done) > 0 {
		runtime.Gosched()
	}
	stop()
	require.NoError(b, <-over)
}
