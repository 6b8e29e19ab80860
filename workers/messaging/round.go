package messaging

import (
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/api/frame"
)

const (
	// roundMax bounds a mailbox's part of a round, in bytes, and roundBytes the whole.
	roundMax   = 512 << 10
	roundBytes = 2 << 20
	// A node rests between two rounds as long as the last one took, within these
	// bounds: small messages of many senders gather, and the more there are, the
	// longer. Without it a round's fixed costs ate what the next one was waiting for.
	restLeast = time.Millisecond
	restMost  = 5 * time.Millisecond
)

// work commits a node's rounds until there is nothing left.
func (c *committer) work(node *redis.Client) {
	for {
		round := c.take(node)
		if round == nil {
			return
		}
		began := time.Now()
		c.store.commit(c.ctx, node, round)
		c.mu.Lock()
		c.gauge(float64(c.waiting))
		c.mu.Unlock()
		c.wakes.hold()
		for _, p := range round {
			c.settle(p)
		}
		c.wakes.release()
		rest := time.NewTimer(min(max(time.Since(began), restLeast), restMost))
		select {
		case <-rest.C:
		case <-c.ctx.Done():
		}
	}
}

// take makes the next round; nil when there is none, and then the node's line is closed.
func (c *committer) take(node *redis.Client) []*posting {
	c.mu.Lock()
	defer c.mu.Unlock()
	var round []*posting
	line, size := c.ready[node], 0
	for len(line) > 0 && size < roundBytes {
		b := line[0]
		line = line[1:]
		n, bytes := 0, 0
		for n < len(b.chunks) && (n == 0 || bytes+b.chunks[n].held <= roundMax) {
			bytes += b.chunks[n].held
			n++
		}
		round = append(round, &posting{box: b, chunks: b.chunks[:n:n], ack: b.ack})
		size += bytes + 1
	}
	if round == nil {
		delete(c.ready, node)
		return nil
	}
	if len(line) == 0 {
		line = nil
	}
	c.ready[node] = line
	return round
}

// settle tells what became of a posting and puts its box in line again if there is more.
func (c *committer) settle(p *posting) {
	if p.err != nil {
		c.later(p.box, p.err)
		return
	}
	if len(p.said) > 0 {
		c.settleEach(p)
		return
	}
	if len(p.chunks) > 0 {
		c.appended(p.box.address, &entry{prev: p.prev, cursor: p.cursor, count: p.cursor.N - p.prev.N, records: p.records})
	}
	c.release(p, nil)
	at := frame.Cursor{MS: p.cursor.MS, N: p.prev.N}
	for _, ch := range p.chunks {
		at.N += ch.count
		ch.done(ch, outcome{cursor: at})
	}
}

// settleEach is settle where not all chunks were stored.
func (c *committer) settleEach(p *posting) {
	outcomes := make([]outcome, 0, len(p.chunks))
	stored := make([]byte, 0, len(p.records))
	rest := p.records
	var told, again []*chunk
	repeated := false
	at := frame.Cursor{MS: p.cursor.MS, N: p.prev.N}
	for i, ch := range p.chunks {
		_, next, err := frame.SkipRecord(rest)
		record := rest[:len(rest)-len(next)]
		rest = next
		var o outcome
		if err == nil {
			o, err = ch.judge(p.said[i])
		}
		switch {
		case errors.Is(err, errAgain):
			again = append(again, ch)
			continue
		case err != nil:
			o.err = err
		case o.err == nil && !o.duplicate:
			stored = append(stored, record...)
			at.N += ch.count
			o.cursor = at
		case o.duplicate:
			repeated = true
		}
		told, outcomes = append(told, ch), append(outcomes, o)
	}
	if len(stored) > 0 {
		c.appended(p.box.address, &entry{prev: p.prev, cursor: p.cursor, count: at.N - p.prev.N, records: stored})
	}
	if repeated { // perhaps stored by a try whose answer was lost
		c.touched(p.box.address)
	}
	c.release(p, again)
	for i, ch := range told {
		ch.done(ch, outcomes[i])
	}
}

// release takes a settled posting off its box.
func (c *committer) release(p *posting, again []*chunk) {
	b := p.box
	c.mu.Lock()
	for _, ch := range p.chunks {
		c.waiting -= ch.held
	}
	for _, ch := range again {
		c.waiting += ch.held
	}
	b.chunks = append(again, b.chunks[len(p.chunks):]...)
	if b.ack == p.ack {
		b.ack = nil
	}
	b.busy = len(b.chunks) > 0
	busy := b.busy
	switch {
	case b.ack != nil && !busy: // a later one than was in the round
		time.AfterFunc(ackPause, func() { c.ripe(b) })
	case b.ack == nil && !busy:
		delete(c.boxes, b.address)
	}
	c.mu.Unlock()
	if busy {
		c.schedule(b)
	}
	switch {
	case p.acked > 0:
		c.acked(p.acked)
	case p.acked < 0:
		p.ack.refused()
	}
}

// later tries a box again in a moment, and refuses what has waited too long.
func (c *committer) later(b *box, err error) {
	c.count("redis")
	c.store.redis.ReloadState(c.ctx)
	now := time.Now()
	c.mu.Lock()
	var late []*chunk
	for len(b.chunks) > 0 && (now.Sub(b.chunks[0].taken) > commitMax || c.ctx.Err() != nil) {
		late = append(late, b.chunks[0])
		c.waiting -= b.chunks[0].held
		b.chunks = b.chunks[1:]
	}
	// An acknowledgement that is dropped only brings messages a second time.
	idle := len(b.chunks) == 0 && (b.ack == nil || len(late) > 0 || c.ctx.Err() != nil)
	if idle {
		b.ack, b.busy = nil, false
		delete(c.boxes, b.address)
	}
	c.mu.Unlock()
	for _, ch := range late {
		ch.done(ch, outcome{err: errors.Join(ErrAway, err)})
	}
	if !idle {
		time.AfterFunc(commitPause, func() { c.schedule(b) })
	}
}
