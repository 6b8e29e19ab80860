package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leanvibe/hive/workers/assignment/codec"
	"github.com/leanvibe/hive/workers/assignment/journal"
)

const (
	// gatherMost bounds what one batch gathers while the last one travels; then calls
	// wait in the queue, and beyond it they are refused.
	gatherMost = 1 << 20
	// serveMost bounds the calls served in one turn.
	serveMost = 64
	// helpMost bounds the turns that one caller takes for others.
	helpMost = 4
	// tickEvery is how late a lease or a deadline may be noticed.
	tickEvery = 100 * time.Millisecond
	// tickMost bounds what one tick does of each kind; a full one is followed by the next at once.
	tickMost = 1000
	// seekEvery is how often at most agents are gone through for whom tasks wait, and
	// seekShare the part of the time that it may take: one in so many.
	seekEvery = 5 * time.Millisecond
	seekShare = 20
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
	settled chan *batch
	renewed chan error
	seeks   *time.Timer
	over    chan struct{} // closed once nobody will be served or answered any more

	// turn guards state and what follows. It is the goroutine of Run that takes it, or a
	// caller that finds it free: to wake a goroutine takes longer than most calls do.
	turn     sync.Mutex
	begun    time.Time // when what is done now arrived
	waiting  []*call   // whose answer is in the batch that gathers
	flight   *batch
	spare    *Changes
	appended int // bytes since the last snapshot
	seeking  bool
	seekNot  time.Time // before
	broken   error     // of a call that a caller served
	closed   bool      // nobody is served: before Run, and once it has ended

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

// batch is what one append makes durable, and who waits for it.
type batch struct {
	changes  *Changes
	calls    []*call
	snapshot []byte
	err      error
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
		inbox: make(chan *call, opts.Calls), wake: make(chan struct{}, 1), seeks: time.NewTimer(time.Hour), closed: true, batches: make(chan *batch, 1), settled: make(chan *batch, 1),
		renewed: make(chan error, 1), over: make(chan struct{}), watchers: map[TaskID][]chan struct{}{},
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
	if records := p.state.changes.records(); len(records) > 0 {
		for _, piece := range pieces(records) {
			if _, err := p.log.Append(ctx, piece); err != nil {
				return fmt.Errorf("the counters could not be left, and the lease runs out by itself: %w", err)
			}
		}
	}
	if err := p.log.Release(ctx); err != nil {
		return fmt.Errorf("the lease could not be given back, it runs out by itself: %w", err)
	}
	return nil
}

// seek tells agents' homes for whom tasks wait, as often as it may.
func (p *Partition) seek() {
	now := time.Now()
	if left := p.seekNot.Sub(now); left > 0 {
		if !p.seeking {
			p.seeking = true
			p.seeks.Reset(left)
		}
		return
	}
	p.seeking = false
	p.state.Wants()
	p.seekNot = now.Add(max(seekEvery, seekShare*time.Since(now)))
}

// serve is the partition's goroutine: it does what nobody calls for, and the calls that
// their callers have left.
func (p *Partition) serve(ctx context.Context) error {
	defer p.seeks.Stop()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	over := ctx.Done()
	var late <-chan time.Time
	p.turn.Lock()
	p.closed = false
	p.turn.Unlock()
	p.rouse() // for what was called before
	for {
		do := func() error { return nil }
		select {
		case b := <-p.settled:
			do = func() error { return p.acknowledge(b) }
		case <-tick.C:
			do = p.tick
		case err := <-p.renewed:
			do = func() error { return err }
		case <-p.seeks.C:
			do = p.sought
		case <-p.wake:
		case <-over:
			over, late = nil, time.After(p.opts.Journal.Lease)
		case <-late:
			do = func() error {
				return fmt.Errorf("Redis has not confirmed the last batch within %s", p.opts.Journal.Lease)
			}
		}
		if ended, err := p.myTurn(ctx, do); ended || err != nil {
			return err
		}
		p.help()
	}
}

// myTurn does something and what waits. It tells whether everything is done and ctx has
// ended; an error ends the partition too.
func (p *Partition) myTurn(ctx context.Context, do func() error) (ended bool, err error) {
	p.turn.Lock()
	defer p.turn.Unlock()
	if err = p.broken; err == nil {
		err = do()
	}
	if err == nil {
		err = p.advance()
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrLost, err)
	}
	idle := len(p.inbox) == 0 && p.flight == nil && len(p.waiting) == 0 && len(p.state.changes.ends) == 0
	p.closed = err != nil || ctx.Err() != nil && idle
	return p.closed, err
}

// help serves the calls that wait if it is nobody's turn. Else who has the turn does: it
// looks for more when it has given the turn back.
func (p *Partition) help() {
	for range helpMost {
		if len(p.inbox) == 0 || !p.turn.TryLock() {
			return
		}
		full := p.callersTurn()
		p.turn.Unlock()
		if full {
			return
		}
	}
	p.rouse()
}

// callersTurn serves calls. It tells that no more can be before the journal has taken what
// there is, or ever.
func (p *Partition) callersTurn() (full bool) {
	if p.closed {
		return true
	}
	if p.broken = p.advance(); p.broken != nil {
		p.closed = true
		p.rouse()
	}
	return p.closed || p.gathered()
}

// rouse has the partition's goroutine take its turn.
func (p *Partition) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// advance serves calls that wait and sends what they changed on its way. Whoever calls it
// has the turn.
func (p *Partition) advance() error {
	if err := p.take(); err != nil {
		return err
	}
	if p.state.Seeks() {
		p.seek()
	}
	p.flush()
	return nil
}

// gathered tells that the batch takes no more.
func (p *Partition) gathered() bool { return len(p.state.changes.w.buf) >= gatherMost }

// sought has the agents gone through for whom tasks wait.
func (p *Partition) sought() error {
	p.seeking = false
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

// take serves the calls that wait, as many as one turn may.
func (p *Partition) take() error {
	now := time.Now().UnixMicro()
	for n := 0; n < serveMost && !p.gathered(); n++ {
		var c *call
		select {
		case c = <-p.inbox:
		default:
			return nil
		}
		before := p.state.changes.assigned
		p.begun = c.at
		if err := c.do(now, p.state); err != nil {
			c.done <- ErrLost
			return err
		}
		c.assignments = p.state.changes.assigned - before
		p.waiting = append(p.waiting, c)
	}
	return nil
}

func (p *Partition) tick() error {
	p.backlog.Store(int64(len(p.state.unarchived)))
	for {
		p.begun = time.Now()
		more, err := p.state.Tick(p.begun.UnixMicro(), tickMost)
		if err != nil || !more || p.gathered() {
			return err
		}
	}
}

// flush sends what was gathered on its way, unless a batch is under way already. What
// changed nothing is answered at once: nothing that it saw can be taken back any more.
func (p *Partition) flush() {
	if p.flight != nil {
		return
	}
	if len(p.state.changes.ends) == 0 {
		p.state.changes.deliver()
		p.state.changes.reset()
		p.answer(p.waiting)
		p.waiting = p.waiting[:0]
		return
	}
	b := &batch{changes: p.state.take(p.spare), calls: p.waiting}
	p.spare, p.waiting = nil, nil
	p.appended += len(b.changes.w.buf)
	if p.appended >= p.opts.SnapshotBytes {
		b.snapshot, p.appended = p.state.snapshot(), 0
	}
	p.flight = b
	p.flying.Store(time.Now().UnixMicro())
	p.batches <- b
}

// acknowledge tells what a batch has made durable.
func (p *Partition) acknowledge(b *batch) error {
	p.flight = nil
	p.flying.Store(0)
	if b.err != nil {
		for _, c := range b.calls {
			c.done <- ErrLost
		}
		return b.err
	}
	b.changes.deliver()
	p.notify(b.changes.finished)
	p.answer(b.calls)
	b.changes.reset()
	p.spare = b.changes
	return nil
}

func (p *Partition) answer(calls []*call) {
	for _, c := range calls {
		if p.opts.Durable != nil {
			p.opts.Durable(time.Since(c.at), c.assignments)
		}
		c.done <- nil
	}
}

// append is the goroutine that makes batches durable, one after the other.
func (p *Partition) append(ctx context.Context) {
	for b := range p.batches {
		var seq uint64
		for _, piece := range pieces(b.changes.records()) {
			if seq, b.err = p.log.Append(ctx, piece); errors.Is(b.err, journal.ErrUnknown) {
				seq, b.err = p.resolve(ctx)
			}
			if b.err != nil {
				break
			}
		}
		if b.err == nil && b.snapshot != nil {
			b.err = p.log.Snapshot(ctx, seq, bytes.NewReader(b.snapshot))
		}
		p.settled <- b
	}
}

// resolve settles an append whose outcome is not known, however long Redis is away:
// until then nothing is acknowledged and nothing else appended.
func (p *Partition) resolve(ctx context.Context) (uint64, error) {
	for {
		seq, err := p.log.Resolve(ctx)
		if !errors.Is(err, journal.ErrUnknown) || ctx.Err() != nil {
			return seq, err
		}
	}
}

// pieces cuts records into appends that the journal takes.
func pieces(records [][]byte) [][][]byte {
	var out [][][]byte
	from, size := 0, 0
	for i, r := range records {
		if grown := size + 4 + len(r); i > from && (grown > codec.MaxBytes/2 || i-from == codec.MaxRecords) {
			out = append(out, records[from:i])
			from, size = i, 0
		}
		size += 4 + len(r)
	}
	return append(out, records[from:])
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
