package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hub"
)

const (
	memoryConnections = 100
	memoryAgents      = 100 // on each
	memoryTasks       = 100_000
	memorySessions    = 1000
	memoryWait        = 3 * time.Minute
	memoryCalm        = 10 // seconds
)

// The memory rows are resident memory at rest: agents beat, and nothing else happens.
var (
	memoryOrchestrator = shown("memory/orchestrator, 10k agents on 100 connections, 100k waiting tasks of 128 bytes", "MB")
	memoryHub          = shown("memory/hub, 1k sessions", "MB")
	memoryEngine       = shown("memory/engine", "MB")
	memoryAll          = atMost("memory/all three", "MB", 200)
)

func memoryRows() []Row { return []Row{memoryOrchestrator, memoryHub, memoryEngine, memoryAll} }

func measureMemory(ctx context.Context, say func(string, ...any)) []Row {
	rows, err := loadMemory(ctx, say)
	if err != nil {
		rows = nil
		for _, r := range memoryRows() {
			rows = append(rows, r.noData(err))
		}
	}
	return rows
}

func loadMemory(ctx context.Context, say func(string, ...any)) (_ []Row, err error) {
	redis, err := startRedis(ctx, "everysec", "--cluster-enabled", "yes")
	if err != nil {
		return nil, err
	}
	defer redis.end()
	if err := redis.ownAllSlots(ctx); err != nil {
		return nil, err
	}
	orchestrator, err := startServer(ctx, redis.addr)
	if err != nil {
		return nil, err
	}
	defer orchestrator.end()
	messages, err := startService(ctx, "hub", "HIVE_REDIS_ADDRS="+redis.addr)
	if err != nil {
		return nil, err
	}
	defer messages.end()
	engine, err := startService(ctx, "engine", "HIVE_PROXY_URL="+orchestrator.url, "HIVE_STREAM_URL="+orchestrator.url)
	if err != nil {
		return nil, err
	}
	defer engine.end()
	ctx, stop := context.WithCancel(ctx)
	var clients sync.WaitGroup
	defer clients.Wait()
	defer stop()

	say("attaching %d agents", memoryConnections*memoryAgents)
	if err := attachMany(ctx, &clients, orchestrator.url); err != nil {
		return nil, err
	}
	if err := orchestrator.until(ctx, "leanvibe_agents_attached", memoryConnections*memoryAgents); err != nil {
		return nil, err
	}
	say("submitting %d tasks that nobody can do", memoryTasks)
	if err := submitMany(ctx, orchestrator.url); err != nil {
		return nil, err
	}
	if err := orchestrator.until(ctx, "leanvibe_task_queue_depth", memoryTasks); err != nil {
		return nil, err
	}
	say("%d sessions, a message to each", memorySessions)
	if err := connectMany(ctx, &clients, messages.url); err != nil {
		return nil, err
	}
	say("waiting until all are at rest")
	least, err := atRest(ctx, orchestrator, messages, engine)
	if err != nil {
		return nil, err
	}
	return []Row{
		memoryOrchestrator.with(least[0] / 1e6), memoryHub.with(least[1] / 1e6), memoryEngine.with(least[2] / 1e6),
		memoryAll.with((least[0] + least[1] + least[2]) / 1e6),
	}, nil
}

// attachMany attaches agents that nobody has work for.
func attachMany(ctx context.Context, clients *sync.WaitGroup, url string) error {
	for i := range memoryConnections {
		fleet := client.New(url, nil).NewFleet(client.FleetConfig{}) // each has a transport, so a connection, of its own
		for n := range memoryAgents {
			err := fleet.Add(client.AgentConfig{
				ID: fmt.Sprintf("agent-%d-%d", i, n), Capabilities: []string{"other"}, Capacity: 4,
				Handle: func(context.Context, *hivev1.Assignment) ([]byte, error) {
					return nil, errors.New("nobody asked for this")
				},
			})
			if err != nil {
				return err
			}
		}
		clients.Go(func() { _ = fleet.Run(ctx) })
	}
	return nil
}

func submitMany(ctx context.Context, url string) error {
	b := &serverBench{}
	submitter := client.New(url, nil).NewSubmitter(client.SubmitterConfig{})
	for n := range memoryTasks {
		submitter.Go(ctx, &hivev1.Draft{
			Queue: fmt.Sprint("q", n%serverQueues), Handler: "note", Capabilities: []string{"rare"}, Payload: make([]byte, serverPayload),
		}, func(_ client.Receipt, err error) {
			if err != nil {
				b.fail(err)
			}
		})
	}
	return errors.Join(submitter.Close(ctx), b.err())
}

// connectMany opens sessions and returns when each has had a message.
func connectMany(ctx context.Context, clients *sync.WaitGroup, url string) error {
	late := time.NewTimer(memoryWait)
	defer late.Stop()
	var received atomic.Int64
	all := make(chan struct{})
	sessions := make([]*hub.Client, memorySessions)
	for i := range sessions {
		var err error
		sessions[i], err = hub.New(hub.Config{
			URL: url, Agent: fmt.Sprint("session-", i), Log: slog.New(slog.DiscardHandler),
			Handle: func(_ context.Context, list []hub.Message) error {
				if received.Add(int64(len(list))) == memorySessions {
					close(all)
				}
				return nil
			},
		})
		if err != nil {
			return err
		}
		clients.Go(func() { _ = sessions[i].Run(ctx) })
	}
	for i, s := range sessions {
		if err := s.Send(ctx, fmt.Sprint("session-", (i+1)%memorySessions), "", make([]byte, serverPayload)); err != nil {
			return err
		}
	}
	select {
	case <-all:
		return nil
	case <-late.C:
		return fmt.Errorf("the hub delivered %d of %d messages within %s", received.Load(), memorySessions, memoryWait)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// atRest answers each process's resident memory when all have stopped to shrink: what the
// load left behind is not what agents, tasks and sessions take.
func atRest(ctx context.Context, services ...*server) ([]float64, error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	least := slices.Repeat([]float64{math.Inf(1)}, len(services))
	for end, since := time.Now().Add(memoryWait), 0; since < memoryCalm && time.Now().Before(end); since++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		for i, s := range services {
			now, err := s.scrape(ctx)
			if err != nil {
				return nil, err
			}
			if now.memory < .99*least[i] {
				least[i], since = now.memory, 0
			}
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
