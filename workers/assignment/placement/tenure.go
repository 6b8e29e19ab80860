package placement

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/leanvibe/hive/workers/assignment/journal"
	"github.com/leanvibe/hive/workers/assignment/partition"
)

// tenure is a partition from its takeover on.
type tenure struct {
	partition *partition.Partition // nil while it is taken over
	end       context.CancelFunc
}

// take begins a tenure; k.mu is held.
func (k *Keeper) take(ctx context.Context, n int) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	t := &tenure{end: end}
	k.owned[n] = t
	k.ended.Go(func() {
		defer end()
		k.serve(life, n, t)
		k.mu.Lock()
		delete(k.owned, n)
		k.announce()
		k.mu.Unlock()
		k.nudge()
	})
}

// serve takes a partition over and serves it to its end.
func (k *Keeper) serve(ctx context.Context, n int, t *tenure) {
	began := time.Now()
	p, err := k.opts.Open(ctx, n)
	var held *journal.HeldError
	switch {
	case errors.As(err, &held) || err != nil && ctx.Err() != nil:
		return // its lease has not run out yet
	case err != nil:
		k.opts.Log.Error("partition could not be taken over", "partition", n, "error", err)
		pause := time.NewTimer(k.opts.Term / beatsPerTerm)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		return
	}
	k.opts.Log.Info("partition taken over", "partition", n, "epoch", p.Epoch(), "took", time.Since(began))
	var beside sync.WaitGroup
	besideCtx, stopBeside := context.WithCancel(ctx)
	k.mu.Lock()
	t.partition = p
	k.holders[n] = k.opts.Name
	k.announce()
	k.mu.Unlock()
	if k.opts.Beside != nil {
		beside.Go(func() { k.opts.Beside(besideCtx, n, p) })
	}
	err = p.Run(ctx)
	stopBeside()
	beside.Wait()
	if err != nil {
		k.opts.Log.Warn("partition has left", "partition", n, "error", err)
		return
	}
	k.opts.Log.Info("partition handed over", "partition", n)
}

// Owned answers how many partitions this replica serves.
func (k *Keeper) Owned() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, t := range k.owned {
		if t.partition != nil {
			n++
		}
	}
	return n
}

// Lag answers how long the oldest batch under way has been on its way to the journal.
func (k *Keeper) Lag() (most time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range k.owned {
		if t.partition != nil {
			most = max(most, t.partition.Lag())
		}
	}
	return most
}
