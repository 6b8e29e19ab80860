package messaging

import "context"

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

// send queues a chunk; then is called with what became of it. A session that
// drains drops it without an answer: the client sends it again, elsewhere.
func (s *session) send(ch *chunk, then func(outcome)) {
	size := len(ch.messages)
	s.flight.Lock()
	if s.flight.draining {
		s.flight.Unlock()
		return
	}
	s.flight.bytes += size
	s.flight.Unlock()
	ch.from = s.agent
	ch.done = func(o outcome) {
		s.hub.tally(ch, o)
		then(o)
		s.flight.Lock()
		s.flight.bytes -= size
		s.flight.Unlock()
		select {
		case s.flight.room <- struct{}{}:
		default:
		}
		s.finish()
	}
	s.hub.commits.put(ch)
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
