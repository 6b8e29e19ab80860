package placement

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/route"
)

// Options describe this replica.
type Options struct {
	Client redis.UniversalClient
	// Name is this process's own: one that starts again has another. Address is where
	// other replicas ask it.
	Name, Address string
	Partitions    int
	// Term is how long a replica counts as alive after it was last heard of.
	Term time.Duration
	// Open takes a partition over; the journal's errors are told apart.
	Open func(ctx context.Context, n int) (*partition.Partition, error)
	// Peer answers a partition of the replica at an address.
	Peer func(address string, n int) route.Owner
	// Beside runs beside each partition while this replica owns it, until ctx ends. May be nil.
	Beside func(ctx context.Context, n int, p *partition.Partition)
	Log    *slog.Logger
}

const (
	// beatsPerTerm is how often a replica says that it lives.
	beatsPerTerm = 6
	// soon is when it looks again while a partition is on its way.
	soon = 50 * time.Millisecond
)

// Keeper keeps this replica's partitions, and is its route.Directory.
type Keeper struct {
	opts    Options
	wake    chan struct{}
	ended   sync.WaitGroup
	mu      sync.Mutex
	owned   map[int]*tenure
	holders []string
	heard   []time.Time // when Redis has last said who holds each partition
	alive   map[string]member
	placed  bool      // every partition has had an owner at once
	beaten  time.Time // the last beat that Redis has answered
	waits   time.Time // nothing is moved before: others may not have said yet that they live
	failed  time.Time // when it was last told that Redis does not answer
	leaving bool
	aside   bool // it lives, and takes no partition
	changed chan struct{}
}

// NewKeeper prepares a Keeper; Run runs it.
func NewKeeper(opts Options) *Keeper {
	heard := make([]time.Time, opts.Partitions)
	for n := range heard {
		heard[n] = time.Now()
	}
	return &Keeper{
		heard: heard, opts: opts, wake: make(chan struct{}, 1), owned: map[int]*tenure{}, holders: make([]string, opts.Partitions),
		changed: make(chan struct{}), beaten: time.Now(),
	}
}

// Run takes and hands over partitions until ctx ends; then it hands over what it has, and
// returns when that is done. url is where clients on the same network call this replica.
func (k *Keeper) Run(ctx context.Context, url string) error {
	lives, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if err := k.agree(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		pause := time.NewTimer(k.round(lives, member{address: k.opts.Address, url: url}))
		select {
		case <-ctx.Done():
		case <-pause.C:
		case <-k.wake:
		}
		pause.Stop()
	}
	k.Leave(lives)
	return nil
}

// agree makes sure that all replicas mean the same partitions, now and later: the number
// stands in every task's id. It waits for Redis.
func (k *Keeper) agree(ctx context.Context) error {
	const key = "{replicas}:partitions"
	for ctx.Err() == nil {
		_, err := k.opts.Client.SetNX(ctx, key, k.opts.Partitions, 0).Result()
		var agreed int
		if err == nil {
			agreed, err = k.opts.Client.Get(ctx, key).Int()
		}
		switch {
		case err == nil && agreed != k.opts.Partitions:
			return fmt.Errorf("HIVE_PARTITIONS is %d, but the tasks in Redis are in %d partitions (%s): set it to %d", k.opts.Partitions, agreed, key, agreed)
		case err == nil:
			return nil
		}
		k.opts.Log.Warn("Redis does not say how many partitions there are", "error", err)
		pause := time.NewTimer(k.opts.Term / beatsPerTerm)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
	return nil
}

// Leave says that this replica takes no partition any more, hands over what it has, and
// returns when that is done or ctx ends.
func (k *Keeper) Leave(ctx context.Context) {
	k.mu.Lock()
	k.leaving = true
	for _, t := range k.owned {
		t.end()
	}
	k.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, k.opts.Term)
	defer cancel()
	if _, err := beat(limited, k.opts.Client, k.opts.Name, member{}, 0); err != nil {
		k.opts.Log.Warn("could not say that this replica leaves: the others find out within a term", "error", err)
	}
	done := make(chan struct{})
	go func() { k.ended.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// round looks once and acts, and answers when to look again.
func (k *Keeper) round(ctx context.Context, self member) time.Duration {
	every := k.opts.Term / beatsPerTerm
	if k.isLeaving() {
		every = soon // the directory still serves calls while others take over
	}
	holders := k.look(ctx)
	alive, err := k.beat(ctx, self)
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.know(holders, now)
	if err != nil {
		if k.failed.IsZero() || now.Sub(k.failed) > k.opts.Term {
			k.failed = now
			k.opts.Log.Warn("Redis does not say who else lives", "error", err)
		}
		return every
	}
	k.failed = time.Time{}
	if now.Sub(k.beaten) > k.opts.Term {
		// Redis was away, or this process stood still: the others may be back a moment later.
		k.waits = now.Add(k.opts.Term)
	}
	if !maps.Equal(k.alive, alive) {
		k.announce() // an owner that was known by its name alone can be reached now
	}
	k.beaten, k.alive = now, alive
	if k.leaving {
		return every
	}
	for n, name := range Plan(takers(alive), k.holders) {
		t := k.owned[n]
		switch {
		case name == k.opts.Name && t == nil:
			if k.holders[n] == "" || now.After(k.waits) {
				k.take(ctx, n)
				every = soon
			}
		case name != k.opts.Name && t != nil && now.After(k.waits):
			t.end()
			every = soon
		}
	}
	return every
}

// beat says that this replica lives, or that it leaves, and asks who else does.
func (k *Keeper) beat(ctx context.Context, self member) (map[string]member, error) {
	ctx, cancel := context.WithTimeout(ctx, k.opts.Term/2)
	defer cancel()
	term := k.opts.Term
	k.mu.Lock()
	if k.leaving {
		term = 0
	}
	self.aside = k.aside
	k.mu.Unlock()
	return beat(ctx, k.opts.Client, k.opts.Name, self, term)
}

func (k *Keeper) isLeaving() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.leaving
}

func (k *Keeper) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Lost tells whether Redis has not answered this replica for two terms, about no partition:
// the others have taken its own, and it does not know to whom.
func (k *Keeper) Lost() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	last := k.beaten
	for _, heard := range k.heard {
		if heard.After(last) {
			last = heard
		}
	}
	return time.Since(last) > 2*k.opts.Term
}
