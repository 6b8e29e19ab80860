package partition

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leanvibe/hive/workers/assignment/journal"
)

// Options are a partition's settings.
type Options struct {
	Journal journal.Options
	Limits  Limits
	// Calls bounds those that wait to be served; 0: 4096.
	Calls int
	// SnapshotBytes is how much the journal may hold before the next snapshot; 0: 64 MiB.
	SnapshotBytes int
	// Decided is told how long it took from a call's arrival until an assignment that it
	// caused was decided, mostly one at a time; Durable until the call's answer was durable,
	// with all of them. May be nil.
	Decided, Durable func(took time.Duration, assignments int)
}

// Partition is one partition that this replica owns. Its methods may be called from
// any goroutine; each returns when what it did is durable, with ErrLost when that is
// not known, and with a *BusyError when too many calls wait.
type Partition struct {
	opts    Options
	log     *journal.Log
	state   *State
	inbox   chan *call
	wake    chan struct{} // something waits that who had the turn has left
	batches chan *batch
	renewed chan error
	seeks   *time.Timer
	open    chan struct{} // closed once Run serves
	over    chan struct{} // closed once nobody will be served or answered any more

	// turn guards state and what follows. It is the goroutine of Run that takes it, or a
	// caller that finds it free: to wake a goroutine takes longer than most calls do.
	turn     sync.Mutex
	begun    time.Time // when what is done now arrived
	waiting  []*call   // whose answer is in the batch that gathers
	flight   *batch
	spare    *Changes
	appended int  // bytes since the last snapshot began
	taken    int  // bytes of the snapshot that is being taken
	pictured int  // and of the last one
	overdue  bool // the last tick has left something
	leaving  bool // ctx of Run has ended
	// taking is the snapshot that is being taken, asked the one that was asked for behind it.
	taking, asked *Compaction
	seeking       bool
	seekNot       time.Time // before
	broken        error     // of a call that a caller served
	closed        bool      // nobody is served: before Run, and once it has ended

	backlog atomic.Int64 // finished tasks that wait for the archive, as of the last tick
	flying  atomic.Int64 // since when the batch under way is, Unix µs; 0: none is

	mu       sync.Mutex
	watchers map[TaskID][]chan struct{}
}

// call is one request on its way through the partition.
type call struct {
	at          time.Time
	do          func(now int64, s *State) error
	done        chan error
	assignments int
}

// Open takes the partition over and recovers it. Errors are those of journal.Takeover
// and Recover, and a *RecordError.
func Open(ctx context.Context, opts Options) (*Partition, error) {
	if opts.Calls == 0 {
		opts.Calls = 4096
	}
	if opts.SnapshotBytes == 0 {
		opts.SnapshotBytes = 64 << 20
	}
	state, err := NewState(opts.Limits)
	if err != nil {
		return nil, err
	}
	log, err := journal.Takeover(ctx, opts.Journal)
	if err != nil {
		return nil, err
	}
	p := &Partition{
		opts: opts, log: log, state: state, spare: &Changes{},
		inbox: make(chan *call, opts.Calls), wake: make(chan struct{}, 1), seeks: time.NewTimer(time.Hour), closed: true, batches: make(chan *batch, 1),
		renewed: make(chan error, 1), open: make(chan struct{}), over: make(chan struct{}), watchers: map[TaskID][]chan struct{}{},
	}
	if opts.Decided != nil {
		state.decided = func(assignments int) { opts.Decided(time.Since(p.begun), assignments) }
	}
	err = log.Recover(ctx, state.restore, func(r journal.Record) error {
		for i, record := range r.Records {
			p.appended += len(record)
			if err := state.Apply(record); err != nil {
				return &RecordError{Seq: r.Seq, Index: i, Why: err.Error()}
			}
		}
		return nil
	})
	if err == nil {
		err = state.Ready(time.Now().UnixMicro())
	}
	if err != nil {
		err = errors.Join(err, log.Release(ctx))
		log.Close()
		return nil, err
	}
	return p, nil
}

// Run serves the partition until ctx ends, and then hands it over in order: what was
// called is finished, made durable and answered, and the lease is given back. It
// returns nil for that, an error that wraps ErrLost when the partition was lost or Redis
// stayed away for a lease term after ctx ended, and another when only the lease could
// not be given back.
func (p *Partition) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { p.append(work) })
	renewing, stopRenewing := context.WithCancel(work)
	var renewal sync.WaitGroup
	renewal.Go(func() { p.renew(renewing) })
	err := p.serve(ctx)
	close(p.batches)
	// No renewal may overtake the release: the next owner would wait for a whole lease.
	stopRenewing()
	renewal.Wait()
	if err == nil {
		patience, cancel := context.WithTimeout(work, p.opts.Journal.Lease)
		err = p.farewell(patience)
		cancel()
	}
	stop()
	helpers.Wait()
	p.log.Close()
	p.abandon()
	close(p.over)
	return err
}

// farewell leaves the counters to the next owner, those too that no record tells, and
// gives the lease back.
func (p *Partition) farewell(ctx context.Context) error {
	for _, q := range p.state.queues {
		p.state.changes.w.counters(&q.stats)
		p.state.changes.seal()
	}
	if len(p.state.changes.ends) > 0 {
		for _, piece := range p.state.changes.pieces() {
			if _, err := p.log.AppendWith(ctx, piece.records, piece.bodies); err != nil {
				return fmt.Errorf("the counters could not be left, and the lease runs out by itself: %w", err)
			}
		}
	}
	if err := p.log.Release(ctx); err != nil {
		return fmt.Errorf("the lease could not be given back, it runs out by itself: %w", err)
	}
	return nil
}

// Epoch answers the owner's epoch; it grows with every takeover.
func (p *Partition) Epoch() uint64 { return p.log.Epoch() }

// Over is closed once the partition has ended here.
func (p *Partition) Over() <-chan struct{} { return p.over }

// Backlog answers how many finished tasks wait for the archive, as of the last tick.
func (p *Partition) Backlog() int { return int(p.backlog.Load()) }

// Lag answers how long the batch under way has been on its way to the journal; 0: none is.
func (p *Partition) Lag() time.Duration {
	since := p.flying.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.UnixMicro(since))
}

// renew keeps the lease. That a renewal fails says nothing yet: appends decide.
func (p *Partition) renew(ctx context.Context) {
	tick := time.NewTicker(p.opts.Journal.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := p.log.Renew(ctx); errors.Is(err, journal.ErrFenced) {
			p.renewed <- err
			return
		}
	}
}

// abandon answers everybody who still waits.
func (p *Partition) abandon() {
	p.state.expose()
	lost := p.waiting
	if p.flight != nil {
		lost = append(lost, p.flight.calls...)
	}
	for {
		select {
		case c := <-p.inbox:
			lost = append(lost, c)
			continue
		default:
		}
		break
	}
	for _, c := range lost {
		c.done <- ErrLost
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, list := range p.watchers {
		for _, w := range list {
			close(w)
		}
		delete(p.watchers, id)
	}
}
