package placement

import (
	"context"
	"sync"
	"time"

	"github.com/leanvibe/hive/workers/assignment/journal"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/route"
)

// holder is what Redis says of one partition.
type holder struct {
	name string
	err  error
}

// look asks who holds what, each partition for itself: they are in different shards, and one
// that is away says nothing of the others.
func (k *Keeper) look(ctx context.Context) []holder {
	ctx, cancel := context.WithTimeout(ctx, k.opts.Term/2)
	defer cancel()
	out := make([]holder, k.opts.Partitions)
	var all sync.WaitGroup
	for n := range out {
		all.Go(func() { out[n].name, out[n].err = journal.Holder(ctx, k.opts.Client, n) })
	}
	all.Wait()
	return out
}

// know takes over what Redis says of owners, and wakes who waits for a change. Of a
// partition that was not heard of the last word stays; after two terms without one this
// replica gives it up if it has it: nothing that it still answered would be sure to be true.
// A failover of Redis is over before.
func (k *Keeper) know(heard []holder, now time.Time) {
	differs, all := false, true
	for n, h := range heard {
		if h.err != nil {
			if t := k.owned[n]; t != nil && now.Sub(k.heard[n]) > 2*k.opts.Term {
				t.end()
			}
			continue
		}
		k.heard[n] = now
		differs = differs || h.name != k.holders[n]
		k.holders[n] = h.name
	}
	for _, name := range k.holders {
		all = all && name != ""
	}
	k.placed = k.placed || all
	if differs {
		k.announce()
	}
}

func (k *Keeper) announce() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// Changed is closed when any owner may have changed.
func (k *Keeper) Changed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}

// Suspect has the keeper look at once.
func (k *Keeper) Suspect(int) { k.nudge() }

// Local answers a partition that this replica serves; nil: it does not.
func (k *Keeper) Local(n int) *partition.Partition {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.owned[n]; t != nil {
		return t.partition
	}
	return nil
}

// Owner answers who owns a partition as far as is known; nil: nobody.
func (k *Keeper) Owner(n int) route.Owner {
	if p := k.Local(n); p != nil {
		return route.Local{Partition: p}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	name := k.holders[n]
	if name == "" || name == k.opts.Name {
		return nil
	}
	if address := k.alive[name].address; address != "" {
		return k.opts.Peer(address, n)
	}
	return nil
}

// Holder names who owns a partition as far as is known; empty: nobody.
func (k *Keeper) Holder(n int) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.holder(n)
}

// holder is Holder; k.mu is held.
func (k *Keeper) holder(n int) string {
	if t := k.owned[n]; t != nil && t.partition != nil {
		return k.opts.Name
	}
	return k.holders[n]
}

// Served answers where clients on the same network call the owner of each partition, as
// far as is known; empty: it is not.
func (k *Keeper) Served() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]string, k.opts.Partitions)
	for n := range out {
		out[n] = k.alive[k.holder(n)].url
	}
	return out
}

// Address answers where a living replica is asked; empty: none of that name lives.
func (k *Keeper) Address(name string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.alive[name].address
}

// Placed tells whether this replica has seen an owner of every partition: from then on
// it can serve.
func (k *Keeper) Placed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.placed
}
