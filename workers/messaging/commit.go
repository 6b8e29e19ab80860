package messaging

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/api/frame"
)

const (
	// commitMax is how long a chunk may wait for Redis: it outlives a failover of the cluster.
	commitMax = 6 * time.Second
	// commitPause is the time between two tries of a mailbox whose node refuses.
	commitPause = 25 * time.Millisecond
	// waitingMax bounds what waits for Redis in this hub, in bytes.
	waitingMax = 64 << 20
	// ackPause lets acknowledgements gather; one that goes down with the hub only
	// brings messages a second time.
	ackPause = 20 * time.Millisecond
)

// box is a mailbox with something to store; it is in one round at a time, which
// keeps the order of what is sent to it.
type box struct {
	address string
	chunks  []*chunk
	ack     *ack
	busy    bool // in line, in a round, or about to be tried again
}

// ack acknowledges an inbox up to a cursor; refused is called when the inbox ends before it.
type ack struct {
	at      frame.Cursor
	refused func()
}

// committer groups what all sessions send: while a round is under way to a
// node, the next one gathers.
type committer struct {
	store    *store
	appended func(address string, e *entry)
	// touched: the mailbox may hold what appended was not called for.
	touched func(address string)
	acked   func(n int)
	count   func(kind string)
	gauge   func(bytes float64)
	wakes   wakes

	mu      sync.Mutex
	ctx     context.Context
	boxes   map[string]*box
	ready   map[*redis.Client][]*box
	waiting int
}

func newCommitter(ctx context.Context, s *store) *committer {
	return &committer{store: s, ctx: ctx, boxes: map[string]*box{}, ready: map[*redis.Client][]*box{}}
}

// put queues chunks; the done of each is called exactly once, and not under a lock.
func (c *committer) put(list ...*chunk) {
	for _, ch := range list {
		ch.held = ch.size()
	}
	var idle []*box
	taken := 0
	c.mu.Lock()
	for ; taken < len(list); taken++ {
		ch := list[taken]
		if c.waiting+ch.held > waitingMax {
			break
		}
		c.waiting += ch.held
		b := c.box(ch.to)
		b.chunks = append(b.chunks, ch)
		if !b.busy {
			b.busy = true
			idle = append(idle, b)
		}
	}
	c.gauge(float64(c.waiting))
	c.mu.Unlock()
	for _, b := range idle {
		c.schedule(b)
	}
	for _, ch := range list[taken:] {
		ch.done(ch, outcome{err: ErrBusy})
	}
}

// ack queues an acknowledgement; a later one takes the place of an earlier.
func (c *committer) ack(address string, at frame.Cursor, refused func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.box(address)
	if b.ack == nil {
		time.AfterFunc(ackPause, func() { c.ripe(b) })
	}
	if b.ack == nil || at.After(b.ack.at) {
		b.ack = &ack{at, refused}
	}
}

// ripe commits an acknowledgement that no round has taken along.
func (c *committer) ripe(b *box) {
	c.mu.Lock()
	due := b.ack != nil && !b.busy
	b.busy = b.busy || due
	c.mu.Unlock()
	if due {
		c.schedule(b)
	}
}

// box answers a mailbox's box; the caller holds the lock.
func (c *committer) box(address string) *box {
	b := c.boxes[address]
	if b == nil {
		b = &box{address: address}
		c.boxes[address] = b
	}
	return b
}

// schedule puts a box in line at its node.
func (c *committer) schedule(b *box) {
	node, err := c.store.node(c.ctx, b.address)
	if err != nil {
		c.later(b, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	line, busy := c.ready[node]
	c.ready[node] = append(line, b)
	if !busy {
		go c.work(node)
	}
}
