package partition

import "context"

// A Compaction is a snapshot: what it has made of the log.
type Compaction struct {
	// Sequence is the journal's, after which the snapshot stands.
	Sequence uint64
	// Before and After are the bytes of the records behind the last snapshot; a next owner
	// reads those one by one.
	Before, After int

	done chan struct{} // closed when it is durable
}

// Snapshot writes the partition's snapshot now and trims its log, and returns when that is
// durable. It tells whether there was anything to trim: a log without records stays as it is.
func (p *Partition) Snapshot(ctx context.Context) (out Compaction, changed bool, err error) {
	var mine *Compaction
	err = p.glance(ctx, func(*State) {
		switch {
		case p.grown() == 0:
			mine = p.taking // nil: there is nothing to do
			return
		case p.asked == nil:
			p.asked = &Compaction{done: make(chan struct{})}
		}
		mine = p.asked
		p.flush()
	})
	if err != nil || mine == nil {
		return Compaction{}, false, err
	}
	select {
	case <-mine.done:
		return *mine, true, nil
	case <-ctx.Done():
		return Compaction{}, false, ctx.Err()
	case <-p.over:
		return Compaction{}, false, ErrLost
	}
}

// grown answers the bytes of the records since the last snapshot began.
func (p *Partition) grown() int { return p.appended + len(p.state.changes.w.buf) }

// beginSnapshot begins one of the state as it stands.
func (p *Partition) beginSnapshot() {
	if p.taking, p.asked = p.asked, nil; p.taking == nil {
		p.taking = &Compaction{done: make(chan struct{})}
	}
	p.taking.Before, p.appended = p.appended, 0
	p.state.picture(chunkTasks)
}

// endSnapshot is told when it is durable.
func (p *Partition) endSnapshot() {
	p.pictured, p.taken = p.taken, 0
	p.taking.After = p.appended
	close(p.taking.done)
	p.taking = nil
}
