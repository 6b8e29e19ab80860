package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Each task has one cell; its bytes count what was seen of the task.
const (
	submittedOnce = 1
	begunOnce     = 1 << 8
	doneOnce      = 1 << 16
	cellByte      = 0xff
	chunkCells    = 1 << 16
	chunksMost    = 1 << 13
)

// windowTasks bounds the tasks submitted and not yet acknowledged, for every
// contender alike: without it a fast publisher only measures how long a queue
// can grow.
const windowTasks = 20_000

type chunk [chunkCells]atomic.Uint32

// Ledger holds both sides' books of one contender, from its start to its end: a
// task of an earlier run that comes again in a later one is found. It is a Sink.
type Ledger struct {
	chunks [chunksMost]atomic.Pointer[chunk]
	next   atomic.Uint64
	// latencies, when set, takes the delays of the tasks that begin.
	latencies atomic.Pointer[latencies]

	mu      sync.Mutex
	moved   *sync.Cond
	open    int // submitted or about to be, not yet acknowledged
	failure error
}

// NewLedger answers empty books.
func NewLedger() *Ledger {
	l := &Ledger{}
	l.moved = sync.NewCond(&l.mu)
	return l
}

// take makes n new tasks that are due at an instant, in the books before they
// are sent: a worker may have one before its submitter has the answer.
func (l *Ledger) take(n int, due time.Duration) []Task {
	first := l.next.Add(uint64(n)) - uint64(n)
	batch := make([]Task, n)
	for i := range batch {
		batch[i] = newTask(first+uint64(i), due)
	}
	return batch
}

// reserve waits until n more tasks fit into the window; false when ctx ended or
// the run has failed.
func (l *Ledger) reserve(ctx context.Context, n int) bool {
	stop := context.AfterFunc(ctx, l.wake)
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.open+n > windowTasks && ctx.Err() == nil && l.failure == nil {
		l.moved.Wait()
	}
	if ctx.Err() != nil || l.failure != nil {
		return false
	}
	l.open += n
	return true
}

// submitted notes that the server has acknowledged a batch.
func (l *Ledger) submitted(batch []Task) {
	for _, t := range batch {
		l.cell(t.ID).Add(submittedOnce)
	}
}

// Begin notes that a task has reached its worker.
func (l *Ledger) Begin(payload []byte) uint64 {
	id, due, err := parse(payload)
	if err != nil || id >= l.next.Load() {
		l.Fail(fmt.Errorf("%w: %.40q", errPayload, payload))
		return 0
	}
	if first := l.cell(id).Add(begunOnce)>>8&cellByte == 1; first {
		if r := l.latencies.Load(); r != nil {
			r.add(now() - due)
		}
	}
	return id
}

// Done notes acknowledgements.
func (l *Ledger) Done(ids ...uint64) {
	for _, id := range ids {
		l.cell(id).Add(doneOnce)
	}
	l.mu.Lock()
	l.open -= len(ids)
	l.mu.Unlock()
	l.moved.Broadcast()
}

// Fail keeps the first failure and ends the run.
func (l *Ledger) Fail(err error) {
	l.mu.Lock()
	if l.failure == nil {
		l.failure = err
	}
	l.mu.Unlock()
	l.moved.Broadcast()
}

// wake lets those who wait look at their context; under the lock, so that none
// is just between its look and its wait.
func (l *Ledger) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moved.Broadcast()
}

// settle waits until as many acknowledgements have come as tasks were made.
func (l *Ledger) settle(ctx context.Context) error {
	stop := context.AfterFunc(ctx, l.wake)
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.open > 0 && l.failure == nil && ctx.Err() == nil {
		l.moved.Wait()
	}
	if l.failure != nil {
		return l.failure
	}
	if l.open > 0 {
		return fmt.Errorf("%d tasks were not acknowledged in time", l.open)
	}
	return nil
}

// Check compares the books task by task: each submitted once, begun, and
// acknowledged exactly once. It names the first that is not, and counts them.
func (l *Ledger) Check() error {
	l.mu.Lock()
	failure := l.failure
	l.mu.Unlock()
	var lost, doubled, disordered int
	var first string
	total := l.next.Load()
	for id := range total {
		v := l.cell(id).Load()
		var what string
		switch done := v >> 16 & cellByte; {
		case done == 0:
			lost++
			what = "was never acknowledged"
		case done > 1:
			doubled++
			what = fmt.Sprintf("was acknowledged %d times", done)
		case v&cellByte != 1 || v>>8&cellByte == 0:
			disordered++
			what = "was acknowledged without having been stored and begun"
		default:
			continue
		}
		if first == "" {
			first = fmt.Sprintf("task %d %s", id, what)
		}
	}
	if first == "" {
		return failure
	}
	return errors.Join(failure, fmt.Errorf("%s (of %d tasks: lost %d, doubled %d, out of order %d)", first, total, lost, doubled, disordered))
}

func (l *Ledger) cell(id uint64) *atomic.Uint32 {
	slot := &l.chunks[id/chunkCells]
	c := slot.Load()
	if c == nil {
		slot.CompareAndSwap(nil, new(chunk))
		c = slot.Load()
	}
	return &c[id%chunkCells]
}
