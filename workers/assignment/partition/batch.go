package partition

import (
	"context"
	"errors"
	"time"

	"github.com/leanvibe/hive/workers/assignment/journal"
)

// batch is what one append makes durable, and who waits for it.
type batch struct {
	changes *Changes
	calls   []*call
	// begins: a snapshot is taken of the state after it. chunk is the next part of the one
	// that is being taken, written behind the append, and last its last.
	begins bool
	seq    uint64
	chunk  []byte
	last   bool
	lost   []loss
	err    error
}

// flush sends what was gathered on its way, unless a batch is under way already. What
// changed nothing is answered at once: nothing that it saw can be taken back any more.
func (p *Partition) flush() {
	if p.flight != nil {
		return
	}
	b := &batch{begins: p.pictureDue()}
	b.chunk, b.last = p.state.chunk()
	if len(p.state.changes.ends) == 0 && b.chunk == nil && !b.begins {
		p.state.changes.deliver()
		p.state.changes.reset()
		p.answer(p.waiting)
		p.waiting = p.waiting[:0]
		return
	}
	b.changes, b.calls = p.state.take(p.spare), p.waiting
	p.spare, p.waiting = nil, nil
	p.appended += len(b.changes.w.buf)
	if b.begins {
		p.beginSnapshot()
	}
	p.flight = b
	p.flying.Store(time.Now().UnixMicro())
	p.batches <- b
}

// pictureDue tells whether a snapshot is to be taken. It waits until the log has grown as large
// as the last one was, or all that is written would mostly be snapshots.
func (p *Partition) pictureDue() bool {
	grown := p.grown()
	return p.taking == nil && (p.asked != nil || grown >= max(p.opts.SnapshotBytes, p.pictured))
}

// append is the goroutine that makes batches durable, one after the other, and tells what
// they hold.
func (p *Partition) append(ctx context.Context) {
	seq := p.log.Sequence()
	var snapshot *journal.SnapshotWriter
	for b := range p.batches {
		// First the payloads, so that the append proves that they were read by the owner.
		if b.err = p.payloads(ctx, b); b.err == nil && len(b.changes.ends) > 0 {
			seq, b.err = p.store(ctx, b.changes)
		}
		if b.err == nil {
			p.tell(b)
		}
		if b.err == nil && b.chunk != nil {
			b.err = snapshot.Write(ctx, b.chunk)
		}
		if b.err == nil && b.last {
			b.err = snapshot.Finish(ctx)
		}
		if b.err == nil && b.begins {
			snapshot, b.err = p.log.NewSnapshot(seq)
		}
		b.seq = seq
		p.settle(b)
	}
}

// store makes changes durable and answers their last sequence.
func (p *Partition) store(ctx context.Context, c *Changes) (seq uint64, err error) {
	for _, piece := range c.pieces() {
		if seq, err = p.log.AppendWith(ctx, piece.records, piece.bodies); errors.Is(err, journal.ErrUnknown) {
			seq, err = p.resolve(ctx)
		}
		if err != nil {
			return 0, err
		}
	}
	return seq, nil
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

// tell says what a batch has made durable. That takes long and needs no turn: nobody else
// tells anything while a batch is under way.
func (p *Partition) tell(b *batch) {
	b.changes.withdraw(b.lost)
	b.changes.deliver()
	p.notify(b.changes.finished)
	p.answer(b.calls)
	b.calls = nil
}

func (p *Partition) answer(calls []*call) {
	for _, c := range calls {
		if p.opts.Durable != nil {
			p.opts.Durable(time.Since(c.at), c.assignments)
		}
		c.done <- nil
	}
}

// settle ends a batch's way, and sends the next one on its own.
func (p *Partition) settle(b *batch) {
	p.turn.Lock()
	p.flight = nil
	p.flying.Store(0)
	if !p.closed {
		if p.broken = p.landed(b); p.broken == nil {
			p.broken = p.advance()
		}
		p.closed = p.broken != nil
	}
	over := p.closed || p.leaving
	p.turn.Unlock()
	for _, c := range b.calls {
		c.done <- ErrLost
	}
	if over {
		p.rouse()
	}
	p.help()
}

// landed does what is left to do in the partition's turn for a batch that is durable.
func (p *Partition) landed(b *batch) error {
	if b.err != nil {
		return b.err
	}
	b.changes.reset()
	p.spare = b.changes
	if b.begins {
		p.taking.Sequence = b.seq
	}
	if b.chunk != nil {
		p.taken += len(b.chunk)
		p.state.written(b.chunk)
	}
	if b.last {
		p.endSnapshot()
	}
	for _, l := range b.lost {
		if err := p.state.undo(time.Now().UnixMicro(), l.Execution, l.why); err != nil {
			return err
		}
	}
	return nil
}
