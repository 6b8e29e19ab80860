package messaging

import (
	"sync"

	"github.com/leanvibe/hive/api/frame"
)

const (
	// outMax is what a session buffers for its client, in bytes: beyond it, messages stay in Redis.
	outMax = 256 << 10
	// answersMax bounds the answers buffered, which cannot stay anywhere: beyond it the client is slow.
	answersMax = 4096
)

// outgoing is answers as their speech has them, or an entry of a feed.
type outgoing struct {
	answers []byte
	entry   *entry
	address string
	after   frame.Cursor // messages up to here the client has
}

// outbox is what waits for a session's writer.
type outbox struct {
	mu      sync.Mutex
	queue   []outgoing
	bytes   int
	answers int
	writing bool // the writer has taken what waited, and not yet written it
	woken   bool // since the writer has last taken something
	signal  chan struct{}
	wakes   *wakes
}

// wake lets the writer run, now or when the round is settled; the caller holds the lock.
func (o *outbox) wake() {
	if o.woken {
		return
	}
	o.woken = true
	if !o.wakes.later(o) {
		o.ring()
	}
}

func (o *outbox) ring() {
	select {
	case o.signal <- struct{}{}:
	default:
	}
}

// take hands an entry on if it follows the feed's cursor without a gap; false: the fetcher must look.
func (s *session) take(fd *feed, e *entry) bool {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	switch {
	case fd.closed:
		return true
	case fd.behind && !fd.parked && len(fd.held) < fetchEntries:
		fd.held = append(fd.held, e)
		return true
	case fd.behind || fd.cursor != e.prev || s.out.bytes >= outMax:
		return false
	}
	s.push(fd, e)
	return true
}

// push queues an entry; the caller holds the lock.
func (s *session) push(fd *feed, e *entry) {
	s.out.queue = append(s.out.queue, outgoing{entry: e, address: fd.address, after: fd.cursor})
	s.out.bytes += len(e.records)
	fd.cursor, fd.moved = e.cursor, true
	s.out.wake()
}

// fallBehind marks a feed as the fetcher's; true: it must be put in line.
func (s *session) fallBehind(fd *feed) bool {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	if fd.behind {
		fd.again = true
		return false
	}
	fd.behind = !fd.closed
	return fd.behind
}

// wants answers where to read on; not ok while the client has enough to read.
func (s *session) wants(fd *feed) (c frame.Cursor, ok bool) {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	if fd.closed {
		return c, false
	}
	fd.parked = s.out.bytes >= outMax
	fd.again = false
	return fd.cursor, !fd.parked
}

// fill queues what was read; true: read on.
func (s *session) fill(fd *feed, found []*entry) bool {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	if fd.closed {
		return false
	}
	held := fd.held
	fd.held = nil
	for i, e := range found {
		if i > 0 && s.out.bytes >= outMax {
			return true
		}
		s.push(fd, e)
	}
	more := len(found) == fetchEntries
	for _, e := range held {
		switch {
		case !e.cursor.After(fd.cursor): // found, too
		case e.prev == fd.cursor && s.out.bytes < outMax:
			s.push(fd, e)
			more = false
		default:
			more = true
		}
	}
	fd.behind = more || fd.again
	return fd.behind
}

// hasMoved tells whether something was handed on since it was last asked.
func (s *session) hasMoved(fd *feed) bool {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	moved := fd.moved
	fd.moved = false
	return moved
}

// answer queues an answer, which write appends to what it is given. A client that
// sends without reading fills the box.
func (s *session) answer(write func([]byte) []byte) {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	if s.out.answers >= answersMax {
		s.end(endSlow)
		return
	}
	s.out.answers++
	if last := len(s.out.queue) - 1; last >= 0 && s.out.queue[last].entry == nil && s.speech.joins() {
		s.out.queue[last].answers = write(s.out.queue[last].answers)
	} else {
		s.out.queue = append(s.out.queue, outgoing{answers: write(nil)})
	}
	s.out.wake()
}

// waiting takes everything that waits, and the feeds that had waited for room.
func (s *session) waiting(spare []outgoing) (queue []outgoing, parked []*feed) {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	queue, s.out.queue = s.out.queue, spare[:0]
	s.out.bytes, s.out.answers, s.out.writing, s.out.woken = 0, 0, true, false
	for _, fd := range s.feeds {
		if fd.parked {
			fd.parked = false
			parked = append(parked, fd)
		}
	}
	return queue, parked
}

// written notes that what was taken is written.
func (s *session) written() {
	s.out.mu.Lock()
	s.out.writing = false
	s.out.mu.Unlock()
	s.flight.Lock()
	draining := s.flight.draining
	s.flight.Unlock()
	if draining {
		s.finish()
	}
}
