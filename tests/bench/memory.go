package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

const (
	memoryConnections = 100
	memoryAgents      = 100 // on each
	memoryTasks       = 100_000
	memoryWait        = 3 * time.Minute
	memoryCalm        = 10 // seconds
)

// The bar is that of all three processes together: the orchestrator alone must keep it. The
// hub with a thousand sessions is in tests/bench/hub, an engine takes about ten.
var memoryRow = atMost("memory/10k agents on 100 connections, 100k waiting tasks of 128 bytes", "MB", 200)

func measureMemory(ctx context.Context, say func(string, ...any)) []Row {
	mb, err := loadMemory(ctx, say)
	if err != nil {
		return []Row{memoryRow.noData(err)}
	}
	return []Row{memoryRow.with(mb).noted("resident at rest, the orchestrator alone; all three processes have 200")}
}

func loadMemory(ctx context.Context, say func(string, ...any)) (_ float64, err error) {
	redis, err := startRedis(ctx, "everysec", "--cluster-enabled", "yes")
	if err != nil {
		return 0, err
	}
	defer redis.end()
	if err := redis.ownAllSlots(ctx); err != nil {
		return 0, err
	}
	s, err := startServer(ctx, redis.addr)
	if err != nil {
		return 0, err
	}
	defer s.end()
	ctx, stop := context.WithCancel(ctx)
	var fleets sync.WaitGroup
	defer fleets.Wait()
	defer stop()
	for i := range memoryConnections {
		fleet := client.New(s.url, nil).NewFleet(client.FleetConfig{}) // each has a transport, so a connection, of its own
		for n := range memoryAgents {
			err := fleet.Add(client.AgentConfig{
				ID: fmt.Sprintf("agent-%d-%d", i, n), Capabilities: []string{"other"}, Capacity: 4,
				Handle: func(context.Context, *hivev1.Assignment) ([]byte, error) {
					return nil, errors.New("nobody asked for this")
				},
			})
			if err != nil {
				return 0, err
			}
		}
		fleets.Go(func() { _ = fleet.Run(ctx) })
	}
	say("attaching %d agents", memoryConnections*memoryAgents)
	if err := s.until(ctx, "leanvibe_agents_attached", memoryConnections*memoryAgents); err != nil {
		return 0, err
	}
	say("submitting %d tasks that nobody can do", memoryTasks)
	b := &serverBench{}
	submitter := client.New(s.url, nil).NewSubmitter(client.SubmitterConfig{})
	for n := range memoryTasks {
		submitter.Go(ctx, &hivev1.Draft{
			Queue: fmt.Sprint("q", n%serverQueues), Handler: "note", Capabilities: []string{"rare"}, Payload: make([]byte, serverPayload),
		}, func(_ client.Receipt, err error) {
			if err != nil {
				b.fail(err)
			}
		})
	}
	if err := errors.Join(submitter.Close(ctx), b.err()); err != nil {
		return 0, err
	}
	if err := s.until(ctx, "leanvibe_task_queue_depth", memoryTasks); err != nil {
		return 0, err
	}
	least, err := s.atRest(ctx)
	return least / 1e6, err
}

// atRest answers the resident memory when it has stopped to shrink: what the load of
// submitting left behind is not what waiting tasks take. The agents go on beating.
func (s *server) atRest(ctx context.Context) (float64, error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	least := math.Inf(1)
	for end, since := time.Now().Add(memoryWait), 0; since < memoryCalm && time.Now().Before(end); since++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		now, err := s.scrape(ctx)
		if err != nil {
			return 0, err
		}
		if now.memory < .99*least {
			least, since = now.memory, 0
		}
	}
	return least, nil
}

// until waits until the sum over a gauge's labels is at least what is wanted.
func (s *server) until(ctx context.Context, name string, want float64) error {
	ctx, cancel := context.WithTimeout(ctx, memoryWait)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := s.scrape(ctx)
		if err != nil {
			return err
		}
		sum := 0.0
		for _, m := range now.families[name].GetMetric() {
			sum += m.GetGauge().GetValue()
		}
		if sum >= want {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s is %.0f after %s: want %.0f", name, sum, memoryWait, want)
		}
	}
}
