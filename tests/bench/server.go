package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

const (
	serverRate     = 20_000 // tasks/s, the bar's
	serverTick     = 2 * time.Millisecond
	serverFor      = 8 * time.Second
	serverAgents   = 32
	serverCapacity = 200
	serverQueues   = 16 // over all partitions
	serverPayload  = 128
	serverWindow   = 4000 // tasks under way when saturated
	// serverTasks bounds the saturated part: nobody archives, and the partitions keep 200,000
	// finished tasks each.
	serverTasks = 500_000
	// serverMost bounds the whole: a server that takes nothing more is an error, not a wait.
	serverMost = 3 * time.Minute
)

// The live server's rows: cmd/orchestrator as it ships, a Redis of its own with everysec, load
// and agents in this process over HTTP/2 streams. Both use the same cores.
var (
	serverDecided  = atMost("server/20k a second/frame decoded to assigned p50", "ms", 0.01)
	serverDecided9 = atMost("server/20k a second/frame decoded to assigned p99", "ms", 0.1)
	serverDurable  = shown("server/20k a second/frame decoded to durable p50", "ms")
	serverDurable9 = shown("server/20k a second/frame decoded to durable p99", "ms")
	serverSched    = shown("server/20k a second/scheduler latency p50", "ms")
	serverSched9   = shown("server/20k a second/scheduler latency p99", "ms")
	serverCPU      = atMost("server/20k a second/processor of the orchestrator, of all cores", "%", 70)
	serverWhole    = shown("server/saturated/submitted, assigned, executed, result accepted", "tasks/s")
	serverMemory   = shown("server/saturated/resident memory of the orchestrator", "MB")
)

func serverRows() []Row {
	return []Row{serverDecided, serverDecided9, serverDurable, serverDurable9, serverSched, serverSched9, serverCPU, serverWhole, serverMemory}
}

func measureServer(ctx context.Context, say func(string, ...any)) []Row {
	rows, err := loadServer(ctx, say)
	if err != nil {
		rows = nil
		for _, r := range serverRows() {
			rows = append(rows, r.noData(err))
		}
	}
	return rows
}

func loadServer(ctx context.Context, say func(string, ...any)) ([]Row, error) {
	redis, err := startRedis(ctx, "everysec", "--cluster-enabled", "yes")
	if err != nil {
		return nil, err
	}
	defer redis.end()
	if err := redis.ownAllSlots(ctx); err != nil {
		return nil, err
	}
	s, err := startServer(ctx, redis.addr)
	if err != nil {
		return nil, err
	}
	defer s.end()
	ctx, stop := context.WithTimeoutCause(ctx, serverMost, fmt.Errorf("the server has not done the load within %s", serverMost))
	defer stop()
	b := &serverBench{c: client.New(s.url, nil), room: make(chan struct{}, serverWindow)}
	fleet := b.c.NewFleet(client.FleetConfig{})
	for i := range serverAgents {
		err := fleet.Add(client.AgentConfig{ID: fmt.Sprint("agent-", i), Capacity: serverCapacity, Handle: b.execute, Done: b.done, Grace: time.Second})
		if err != nil {
			return nil, err
		}
	}
	over := make(chan error, 1)
	go func() { over <- fleet.Run(ctx) }()
	say("%d a second for %s, %d queues, %d agents of %d, %d bytes", serverRate, serverFor, serverQueues, serverAgents, serverCapacity, serverPayload)
	before, err := s.scrape(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.pace(ctx); err != nil {
		return nil, err
	}
	after, err := s.scrape(ctx)
	if err != nil {
		return nil, err
	}
	busy, err := after.busy(before)
	if err != nil {
		return nil, err
	}
	decided, err := after.since(before, metricDecided)
	if err != nil {
		return nil, err
	}
	durable, err := after.since(before, metricDurable)
	if err != nil {
		return nil, err
	}
	sched, err := after.since(before, metricSched)
	if err != nil {
		return nil, err
	}
	say("saturated, %d tasks under way", serverWindow)
	whole, err := b.saturate(ctx)
	if err != nil {
		return nil, err
	}
	full, err := s.scrape(ctx)
	if err != nil {
		return nil, err
	}
	rows := []Row{
		serverDecided.with(decided.quantile(.5)), serverDecided9.with(decided.quantile(.99)),
		serverDurable.with(durable.quantile(.5)), serverDurable9.with(durable.quantile(.99)),
		serverSched.with(1000 * sched.quantile(.5)).noted("how long a goroutine that could run waited for a processor (/sched/latencies), of the orchestrator"),
		serverSched9.with(1000 * sched.quantile(.99)),
		serverCPU.with(busy),
		serverWhole.with(whole).noted("load and agents in one process on the same cores; nobody archives"),
		serverMemory.with(full.memory / 1e6),
	}
	stop()
	return rows, <-over
}

// serverBench is the load and what became of it.
type serverBench struct {
	c        *client.Client
	room     chan struct{}
	sent     atomic.Int64
	accepted atomic.Int64
	limited  atomic.Bool // whether results make room
	failed   atomic.Pointer[error]
}

func (b *serverBench) fail(err error) { b.failed.CompareAndSwap(nil, &err) }

func (b *serverBench) err() error {
	if err := b.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (b *serverBench) execute(context.Context, *hivev1.Assignment) ([]byte, error) {
	return nil, nil //nolint:nilnil // an empty result is what the peers have, too
}

func (b *serverBench) done(err error) {
	if err != nil {
		b.fail(fmt.Errorf("a result was not accepted: %w", err))
	}
	b.accepted.Add(1)
	if b.limited.Load() {
		<-b.room
	}
}

func (b *serverBench) submit(ctx context.Context, s *client.Submitter, n int) {
	d := &hivev1.Draft{Queue: fmt.Sprint("q", n%serverQueues), Handler: "note", Payload: make([]byte, serverPayload)}
	b.sent.Add(1)
	s.Go(ctx, d, func(_ client.Receipt, err error) {
		if err != nil {
			b.fail(err)
		}
	})
}

// pace submits at an even rate.
func (b *serverBench) pace(ctx context.Context) error {
	s := b.c.NewSubmitter(client.SubmitterConfig{})
	tick := time.NewTicker(serverTick)
	defer tick.Stop()
	began, sent := time.Now(), 0
	for time.Since(began) < serverFor && b.err() == nil && ctx.Err() == nil {
		<-tick.C
		for due := int(serverRate * min(time.Since(began), serverFor).Seconds()); sent < due; sent++ {
			b.submit(ctx, s, sent)
		}
	}
	return errors.Join(s.Close(ctx), b.err(), ctx.Err())
}

// settled waits until what has been sent is done.
func (b *serverBench) settled(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for b.accepted.Load() < b.sent.Load() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := b.err(); err != nil {
			return err
		}
	}
	return nil
}

// saturate keeps serverWindow tasks under way and answers how many results a second were accepted.
func (b *serverBench) saturate(ctx context.Context) (float64, error) {
	if err := b.settled(ctx); err != nil {
		return 0, err
	}
	b.limited.Store(true)
	s := b.c.NewSubmitter(client.SubmitterConfig{})
	began, first := time.Now(), b.accepted.Load()
	for n := 0; n < serverTasks && time.Since(began) < serverFor && b.err() == nil && ctx.Err() == nil; n++ {
		select {
		case b.room <- struct{}{}:
			b.submit(ctx, s, n)
		case <-ctx.Done():
		}
	}
	rate := float64(b.accepted.Load()-first) / time.Since(began).Seconds()
	return rate, errors.Join(s.Close(ctx), b.err(), context.Cause(ctx))
}

// server is cmd/orchestrator, built here.
type server struct {
	cmd *exec.Cmd
	dir string
	url string
}

const serverStart = 60 * time.Second

// startServer runs the orchestrator on a Redis, without an archive.
func startServer(ctx context.Context, redis string) (*server, error) {
	return startService(ctx, "orchestrator", "HIVE_PEER_LISTEN=127.0.0.1:0", "HIVE_REDIS_ADDRS="+redis,
		"HIVE_POSTGRES_DSN=postgres://nobody@127.0.0.1:1/none", "HIVE_TASK_MIB=1024", "HIVE_JOURNAL_MIB=256")
}

// startService builds and runs one of the services as it ships, and returns when it is ready.
func startService(ctx context.Context, name string, env ...string) (_ *server, err error) {
	s := &server{}
	if s.dir, err = os.MkdirTemp("", "bench-"+name); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.end()
		}
	}()
	binary, token := filepath.Join(s.dir, name), filepath.Join(s.dir, "token")
	if err := os.WriteFile(token, []byte(rand.Text()), 0o600); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/"+name).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build ./cmd/%s: %w: %s", name, err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	listen := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	s.url = "http://" + listen
	s.cmd = exec.Command(binary)
	s.cmd.Dir = s.dir
	s.cmd.Env = append(append(os.Environ(), "HIVE_LISTEN="+listen, "HIVE_INSTANCE=bench", "HIVE_PEER_TOKEN_FILE="+token), env...)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, serverStart)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := http.Get(s.url + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			return nil, fmt.Errorf("%s was not ready within %s", name, serverStart)
		}
	}
}

func (s *server) end() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
	_ = os.RemoveAll(s.dir)
}
