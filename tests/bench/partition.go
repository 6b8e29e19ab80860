package main

import (
	"context"
	"fmt"
	"math"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/workers/assignment/journal"
	"github.com/leanvibe/hive/workers/assignment/partition"
)

const (
	partitionAgents   = 64
	partitionCapacity = 500
	partitionBatch    = 500 // tasks a call, as the peers are given them
	partitionCallers  = 8
	partitionFor      = 5 * time.Second
	partitionRate     = 20_000                 // tasks/s, the bar's
	partitionEvery    = 500 * time.Microsecond // ten tasks a call
	partitionPayload  = 128                    // bytes
	archiveTick       = 20 * time.Millisecond
	archiveBytes      = 16 << 20 // as the archive asks for
)

// The partition's rows: one process, a Redis of its own, everysec.
var (
	partitionDecided  = atMost("partition/20k a second/call to assigned p50", "ms", 0.01)
	partitionDecided9 = atMost("partition/20k a second/call to assigned p99", "ms", 0.1)
	partitionDurable  = shown("partition/20k a second/call to durable p50", "ms")
	partitionDurable9 = shown("partition/20k a second/call to durable p99", "ms")
	partitionSched    = shown("partition/20k a second/scheduler latency p99", "ms")
	partitionWhole    = shown("partition/saturated/submitted, assigned, reported, all durable", "tasks/s")
)

func partitionRows() []Row {
	return []Row{partitionDecided, partitionDecided9, partitionDurable, partitionDurable9, partitionSched, partitionWhole}
}

func measurePartition(ctx context.Context, say func(string, ...any)) []Row {
	rows, err := loadPartition(ctx, say)
	if err != nil {
		rows = nil
		for _, r := range partitionRows() {
			rows = append(rows, r.noData(err))
		}
	}
	return rows
}

func loadPartition(ctx context.Context, say func(string, ...any)) ([]Row, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	server, err := startRedis(ctx, "everysec")
	if err != nil {
		return nil, err
	}
	defer server.end()
	b := &partitionBench{stop: stop, underWay: make(chan struct{}, partitionAgents*partitionCapacity/partitionBatch)}
	client := redis.NewClient(&redis.Options{Addr: server.addr})
	defer client.Close()
	opts := partition.Options{
		Journal: journal.Options{Client: client, Name: "bench", Lease: 10 * time.Second},
		Limits:  partition.DefaultLimits(), Decided: b.decided.add, Durable: b.durable.add,
	}
	if b.p, err = partition.Open(ctx, opts); err != nil {
		return nil, err
	}
	over := make(chan error, 1)
	go func() { over <- b.p.Run(ctx) }()
	for i := range partitionAgents {
		name := fmt.Sprint("agent-", i)
		s := &benchAgent{name: name, wake: make(chan struct{}, 1)}
		if _, err := b.p.Seat(ctx, []partition.Seating{{AgentSpec: partition.AgentSpec{ID: name, Capacity: partitionCapacity}, Slots: partitionCapacity, Sink: s}}); err != nil {
			return nil, err
		}
		go s.work(ctx, b)
	}
	go b.archive(ctx)
	say("saturated: %d callers, batches of %d tasks of %d bytes, %d agents, %s", partitionCallers, partitionBatch, partitionPayload, partitionAgents, partitionFor)
	whole, err := b.saturate(ctx)
	if err != nil {
		return nil, err
	}
	say("%.0f tasks/s; %d a second in calls every %s for %s", whole, partitionRate, partitionEvery, partitionFor)
	b.decided.reset()
	b.durable.reset()
	before := schedLatencies()
	if err := b.pace(ctx); err != nil {
		return nil, err
	}
	rows := []Row{
		partitionDecided.with(b.decided.quantile(.5)), partitionDecided9.with(b.decided.quantile(.99)),
		partitionDurable.with(b.durable.quantile(.5)), partitionDurable9.with(b.durable.quantile(.99)),
		partitionSched.with(schedLatencies().since(before).p99()),
		partitionWhole.with(whole).noted("one process with the agents in it, no network but Redis's"),
	}
	stop()
	return rows, <-over
}

// partitionBench is a partition and what is counted of it.
type partitionBench struct {
	p                *partition.Partition
	done             atomic.Int64  // results acknowledged
	underWay         chan struct{} // batches
	failed           atomic.Pointer[error]
	stop             context.CancelFunc
	decided, durable durations
}

// fail keeps the first failure and ends the measurement.
func (b *partitionBench) fail(err error) {
	b.failed.CompareAndSwap(nil, &err)
	b.stop()
}

// submit sends n tasks in one call.
func (b *partitionBench) submit(ctx context.Context, n int) error {
	payload := make([]byte, partitionPayload)
	drafts := make([]*partition.Draft, n)
	for i := range drafts {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		drafts[i] = &partition.Draft{ID: id, Queue: "q", Handler: "h", MaxAttempts: 3, Payload: payload}
	}
	out, err := b.p.Submit(ctx, drafts)
	for _, o := range out {
		if o.Err != nil {
			return o.Err
		}
	}
	return err
}

// saturate keeps every caller busy and answers how many results a second were
// acknowledged. No more than the agents can hold is under way: what waits would only
// measure memory.
func (b *partitionBench) saturate(ctx context.Context) (float64, error) {
	began := time.Now()
	var callers sync.WaitGroup
	var sent atomic.Int64
	for range partitionCallers {
		callers.Go(func() {
			for time.Since(began) < partitionFor && b.failed.Load() == nil {
				select {
				case b.underWay <- struct{}{}:
				case <-ctx.Done():
					return
				}
				sent.Add(partitionBatch)
				if err := b.submit(ctx, partitionBatch); err != nil {
					b.fail(err)
				}
			}
		})
	}
	callers.Wait()
	for range cap(b.underWay) { // until everything is reported
		select {
		case b.underWay <- struct{}{}:
		case <-ctx.Done():
		}
	}
	took := time.Since(began)
	for range len(b.underWay) {
		<-b.underWay
	}
	if err := b.failed.Load(); err != nil {
		return 0, *err
	}
	return float64(sent.Load()) / took.Seconds(), ctx.Err()
}

// reported counts results, and makes room for as many tasks.
func (b *partitionBench) reported(n int) {
	now := b.done.Add(int64(n))
	for range now/partitionBatch - (now-int64(n))/partitionBatch {
		select {
		case <-b.underWay:
		default: // at an even rate nobody waits for room
		}
	}
}

// pace submits at an even rate, whether answers have come or not.
func (b *partitionBench) pace(ctx context.Context) error {
	tick := time.NewTicker(partitionEvery)
	defer tick.Stop()
	var calls sync.WaitGroup
	for end := time.Now().Add(partitionFor); time.Now().Before(end) && ctx.Err() == nil; <-tick.C {
		calls.Go(func() {
			if err := b.submit(ctx, int(partitionRate*partitionEvery/time.Second)); err != nil {
				b.fail(err)
			}
		})
	}
	calls.Wait()
	if err := b.failed.Load(); err != nil {
		return *err
	}
	return ctx.Err()
}

// archive confirms what has finished, as the archive does.
func (b *partitionBench) archive(ctx context.Context) {
	tick := time.NewTicker(archiveTick)
	defer tick.Stop()
	archived := 0
	for ; ctx.Err() == nil; <-tick.C {
		list, err := b.p.Unarchived(ctx, archived, 10_000, archiveBytes)
		if err != nil && ctx.Err() == nil {
			b.fail(err)
			return
		}
		archived = len(list)
	}
}

// benchAgent reports what it is given as done, all of it in one call.
type benchAgent struct {
	name string
	mu   sync.Mutex
	got  []partition.Report
	wake chan struct{}
}

// Assign takes executions.
func (a *benchAgent) Assign(list []partition.Assignment) {
	a.mu.Lock()
	for _, as := range list {
		a.got = append(a.got, partition.Report{Agent: a.name, Execution: as.Execution, Result: as.Payload})
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Replaced never happens: each agent attaches once.
func (a *benchAgent) Replaced() {}

// Wanted is of no use to an agent whose slots are all here.
func (a *benchAgent) Wanted(bool) {}

// Seated, Ended and Granted are of no use either.
func (a *benchAgent) Seated([]partition.Execution) {}

// Ended is of no use.
func (a *benchAgent) Ended(partition.Execution) {}

// Granted is of no use.
func (a *benchAgent) Granted(int) {}

func (a *benchAgent) work(ctx context.Context, b *partitionBench) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		a.mu.Lock()
		reports := a.got
		a.got = nil
		a.mu.Unlock()
		verdicts, err := b.p.Report(ctx, reports)
		if err != nil && ctx.Err() == nil {
			b.fail(err)
			return
		}
		for _, v := range verdicts {
			if !v.Accepted {
				b.fail(fmt.Errorf("a result was refused: %s", v.Reason))
			}
		}
		b.reported(len(verdicts))
	}
}

// durations gathers times, each weighted by the assignments that it was of; those of
// none are left out.
type durations struct {
	mu   sync.Mutex
	list []time.Duration
}

func (d *durations) add(took time.Duration, assignments int) {
	if assignments == 0 {
		return
	}
	d.mu.Lock()
	d.list = append(d.list, took)
	d.mu.Unlock()
}

func (d *durations) reset() {
	d.mu.Lock()
	d.list = d.list[:0]
	d.mu.Unlock()
}

// quantile answers milliseconds; NaN where nothing was counted.
func (d *durations) quantile(q float64) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) == 0 {
		return math.NaN()
	}
	slices.Sort(d.list)
	return d.list[int(q*float64(len(d.list)-1))].Seconds() * 1000
}

// histogram is how long goroutines have waited for a core (runtime/metrics).
type histogram struct{ *metrics.Float64Histogram }

func schedLatencies() histogram {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(sample)
	h := sample[0].Value.Float64Histogram()
	return histogram{&metrics.Float64Histogram{Counts: slices.Clone(h.Counts), Buckets: h.Buckets}}
}

func (h histogram) since(before histogram) histogram {
	for i := range h.Counts {
		h.Counts[i] -= before.Counts[i]
	}
	return h
}

// p99 answers milliseconds: the upper end of the bucket; NaN where nothing was counted.
func (h histogram) p99() float64 {
	var all, seen uint64
	for _, n := range h.Counts {
		all += n
	}
	for i, n := range h.Counts {
		if seen += n; seen > 0 && float64(seen) >= .99*float64(all) {
			return h.Buckets[i+1] * 1000
		}
	}
	return math.NaN()
}
