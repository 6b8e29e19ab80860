package messaging

import (
	"context"
)

// room waits until less than the most is on its way to Redis.
func (s *session) room(ctx context.Context) bool {
	for {
		s.flight.Lock()
		full := s.flight.bytes > inFlightMax
		s.flight.Unlock()
		if !full {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-s.flight.room:
		}
	}
}

// send queues chunks; then is called with what became of each. A
// session that drains drops them without an answer: the client sends them again, elsewhere.
func (s *session) send(list []*chunk, then func(*chunk, outcome)) {
	size := 0
	for _, ch := range list {
		size += ch.size()
	}
	s.flight.Lock()
	if s.flight.draining {
		s.flight.Unlock()
		return
	}
	s.flight.bytes += size
	s.flight.Unlock()
	done := func(ch *chunk, o outcome) {
		s.hub.tally(ch, o)
		then(ch, o)
		s.landed(ch.held)
	}
	for _, ch := range list {
		ch.done = done
	}
	s.hub.commits.put(list...)
}

// landed takes what has its answer off the session's flight.
func (s *session) landed(size int) {
	s.flight.Lock()
	before := s.flight.bytes
	s.flight.bytes -= size
	after, draining := s.flight.bytes, s.flight.draining
	s.flight.Unlock()
	if before > inFlightMax && after <= inFlightMax {
		select {
		case s.flight.room <- struct{}{}:
		default:
		}
	}
	if draining {
		s.finish()
	}
}

// drain ends the session as soon as all that it has taken in is answered, and the answers are written.
func (s *session) drain() {
	s.closeAll()
	s.flight.Lock()
	s.flight.draining = true
	s.flight.Unlock()
	s.finish()
}

// finish ends a session that drains, if nothing is left to do.
func (s *session) finish() {
	s.flight.Lock()
	defer s.flight.Unlock()
	if !s.flight.draining || s.flight.bytes > 0 {
		return
	}
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	if len(s.out.queue) == 0 && !s.out.writing {
		s.end(endDraining)
	}
}
