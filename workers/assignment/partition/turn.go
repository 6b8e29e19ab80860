package partition

import (
	"context"
	"fmt"
	"time"
)

const (
	// gatherMost bounds what one batch gathers, with its large bodies, while the last one
	// travels; then calls wait in the queue, and beyond it they are refused.
	gatherMost = 1 << 20
	// serveMost bounds the calls served in one turn.
	serveMost = 64
	// helpMost bounds the turns that one caller takes for others.
	helpMost = 4
	// offerMost bounds the finished tasks that one turn offers or confirms: each has to be
	// fetched from memory that nobody has used since it ended.
	offerMost = 128
	// tickEvery is how late a lease or a deadline may be noticed.
	tickEvery = 100 * time.Millisecond
	// tickMost bounds what one turn does of each kind that time asks for; who calls meanwhile
	// waits for it, and the next turn goes on with the rest.
	tickMost = 64
	// seekEvery is how often at most agents are gone through for whom tasks wait, and
	// seekShare the part of the time that it may take: one in so many.
	seekEvery = 5 * time.Millisecond
	seekShare = 20
)

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
	close(p.open)
	p.rouse() // for what was called before
	for {
		do := func() error { return nil }
		select {
		case <-tick.C:
			do = p.tick
		case err := <-p.renewed:
			do = func() error { return err }
		case <-p.seeks.C:
			do = p.sought
		case <-p.wake:
			do = p.goOn
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
	p.leaving = ctx.Err() != nil
	p.closed = err != nil || p.leaving && idle
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

// glance does something in the partition's turn at once, ahead of the calls that wait: it
// must be short. What it has seen may not be durable yet.
func (p *Partition) glance(ctx context.Context, do func(*State)) error {
	select {
	case <-p.open:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.turn.Lock()
	over := p.closed
	if !over {
		do(p.state)
	}
	p.turn.Unlock()
	p.help()
	if over {
		return ErrLost
	}
	return nil
}

// durable waits until all that was seen or changed before is.
func (p *Partition) durable(ctx context.Context) error {
	c := &call{at: time.Now(), done: make(chan error, 1)}
	err := p.glance(ctx, func(*State) {
		p.waiting = append(p.waiting, c)
		p.flush()
	})
	if err != nil {
		return err
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
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
	more := p.state.develop()
	p.flush()
	if more || p.overdue {
		p.rouse()
	}
	return nil
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

// gathered tells that the batch takes no more.
func (p *Partition) gathered() bool {
	c := p.state.changes
	return len(c.w.buf)+c.bodies.put >= gatherMost || c.bodies.needed >= fetchMost
}

func (p *Partition) tick() (err error) {
	p.backlog.Store(int64(len(p.state.unarchived)))
	p.begun = time.Now()
	p.overdue, err = p.state.Tick(p.begun.UnixMicro(), tickMost)
	p.overdue = p.overdue && !p.gathered()
	return err
}

// goOn does what the last tick has left.
func (p *Partition) goOn() error {
	if p.overdue {
		return p.tick()
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

// sought has the agents gone through for whom tasks wait.
func (p *Partition) sought() error {
	p.seeking = false
	return nil
}
