package hub

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leanvibe/hive/api/frame"
)

const (
	// frameGoal is where a frame is full enough to be sent.
	frameGoal = 64 << 10
	// laneGoal bounds a lane's part of a frame, in messages.
	laneGoal = 1000
	// refusedPause is the time before a refused message is sent again.
	refusedPause = 50 * time.Millisecond
)

// hopeless are the codes of what the hub will never take.
var hopeless = []string{"invalid_argument", "invalid_address", "malformed_frame", "payload_too_large"}

type queued struct {
	id   string
	body []byte
	done func(error)
}

// lane is what goes to one address, in order: pending[0] has the number
// confirmed+1, and all up to sent are on their way.
type lane struct {
	address, producer string
	confirmed, sent   uint64
	pending           []queued
	dirty, held       bool
}

// next writes a send item of what is not on its way, its body in scratch first; the caller holds the lock.
func (l *lane) next(buf, scratch []byte) (out, body []byte) {
	from := l.sent - l.confirmed
	body = scratch[:0]
	count := uint64(0)
	for _, q := range l.pending[from:] {
		if count == laneGoal || count > 0 && len(body)+len(q.body) > frameGoal {
			break
		}
		body = frame.AppendMessage(body, q.id, q.body)
		count++
	}
	buf = frame.AppendItem(buf, &frame.Item{
		Op: frame.OpSend, Address: l.address, Producer: l.producer, Seq: l.sent + 1, Count: count, Body: body,
	})
	l.sent += count
	return buf, body
}

func (l *lane) waiting() bool { return !l.held && l.sent-l.confirmed < uint64(len(l.pending)) }

// confirm takes the messages up to a number off.
func (l *lane) confirm(seq uint64) []queued {
	if seq <= l.confirmed {
		return nil
	}
	n := min(seq-l.confirmed, uint64(len(l.pending)))
	done := l.pending[:n:n]
	l.pending = l.pending[n:]
	l.confirmed += n
	l.sent = max(l.sent, l.confirmed)
	return done
}

// stored is the hub's word that messages are stored.
func (c *Client) stored(it *frame.Item) {
	c.mu.Lock()
	l := c.lanes[it.Address]
	var done []queued
	if l != nil && l.producer == it.Producer {
		done = l.confirm(it.Seq)
	}
	c.answered()
	c.mu.Unlock()
	c.settle(done, nil)
}

// refused sends again from the refused message on, or gives up on what the hub will never take.
func (c *Client) refused(it *frame.Item) {
	c.mu.Lock()
	l := c.lanes[it.Address]
	if l == nil || l.producer != it.Producer || it.Seq <= l.confirmed || it.Seq > l.sent {
		c.mu.Unlock()
		return
	}
	var lost []queued
	switch {
	case slices.Contains(hopeless, it.Code):
		lost, l.pending = l.pending, nil
		c.rename(l)
	case it.Code == "out_of_sequence" && it.Seq == l.confirmed+1:
		// The hub no longer knows what it had stored of us.
		c.rename(l)
	default:
		l.sent = it.Seq - 1
	}
	if !l.held && lost == nil {
		l.held = true
		time.AfterFunc(refusedPause, func() { c.retry(l) })
	}
	c.mu.Unlock()
	c.settle(lost, fmt.Errorf("the hub refuses it: %w", errors.New(it.Code+": "+it.Message)))
}

// rename begins a lane anew under a producer's name that is new; the caller holds the lock.
func (c *Client) rename(l *lane) {
	c.renamed++
	l.producer = fmt.Sprintf("%s.%d", c.name, c.renamed)
	l.confirmed, l.sent = 0, 0
}

// retry sends again what was refused.
func (c *Client) retry(l *lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.held = false
	if l.waiting() {
		c.mark(l)
	}
}

// rewind forgets what was on its way: the connection is gone.
func (c *Client) rewind() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lanes {
		l.sent = l.confirmed
		if l.waiting() {
			c.mark(l)
		}
	}
}

// batch writes the next frame: acknowledgements, then what the lanes have. Empty: nothing to do.
func (c *Client) batch(buf []byte) []byte {
	buf = c.acknowledgements(buf)
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	var last *lane
	for n < len(c.dirty) && len(buf) < frameGoal {
		l := c.dirty[n]
		n++
		l.dirty = false
		if !l.waiting() {
			continue
		}
		buf, c.scratch = l.next(buf, c.scratch)
		last = l
		if l.waiting() { // behind the others, so that none starves
			l.dirty = true
			c.dirty = append(c.dirty, l)
		}
	}
	c.dirty = append(c.dirty[:0], c.dirty[n:]...)
	c.hold(last)
	return buf
}
