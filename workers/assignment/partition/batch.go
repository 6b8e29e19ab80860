package partition

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/leanvibe/hive/workers/assignment/journal"
)

// batch is what one append makes durable, and who waits for it.
type batch struct {
	changes  *Changes
	calls    []*call
	snapshot []byte
	lost     []loss
	err      error
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
	b.changes.withdraw(b.lost)
	b.changes.deliver()
	p.notify(b.changes.finished)
	p.answer(b.calls)
	b.changes.reset()
	p.spare = b.changes
	for _, l := range b.lost {
		if err := p.state.undo(time.Now().UnixMicro(), l.Execution, l.why); err != nil {
			return err
		}
	}
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
		// First the payloads, so that the append proves that they were read by the owner.
		b.err = p.payloads(ctx, b)
		var seq uint64
		for _, piece := range b.changes.pieces() {
			if b.err != nil {
				break
			}
			if seq, b.err = p.log.AppendWith(ctx, piece.records, piece.bodies); errors.Is(b.err, journal.ErrUnknown) {
				seq, b.err = p.resolve(ctx)
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
