package messaging

import (
	"context"
	"errors"

	"github.com/leanvibe/hive/api/frame"
)

// open begins a feed after the cursor; false when the session has its most. begins
// is called before anything of it is delivered.
func (s *session) open(address string, cursor frame.Cursor, begins func()) bool {
	fd := &feed{session: s, address: address, cursor: cursor}
	s.out.mu.Lock()
	old := s.feeds[address]
	if old == nil && len(s.feeds) > topicsMax {
		s.out.mu.Unlock()
		return false
	}
	if old != nil {
		old.closed = true
	}
	s.feeds[address] = fd
	s.out.mu.Unlock()
	if old != nil {
		s.hub.feeds.remove(old)
	}
	begins()
	s.hub.feeds.add(fd)
	return true
}

// shut ends a feed; false when there is none.
func (s *session) shut(address string) bool {
	s.out.mu.Lock()
	fd := s.feeds[address]
	delete(s.feeds, address)
	if fd != nil {
		fd.closed = true
	}
	s.out.mu.Unlock()
	if fd != nil {
		s.hub.feeds.remove(fd)
	}
	return fd != nil
}

func (s *session) closeAll() {
	s.out.mu.Lock()
	var all []string
	for address := range s.feeds {
		all = append(all, address)
	}
	s.out.mu.Unlock()
	for _, address := range all {
		s.shut(address)
	}
}

// subscribe begins a topic's feed and says where, before it delivers; false when the session has its most.
func (s *session) subscribe(ctx context.Context, topic string, c frame.Cursor, begins func(frame.Cursor)) (bool, error) {
	var err error
	if c == (frame.Cursor{}) {
		c, err = s.hub.store.subscribe(ctx, topic, s.agent)
	} else {
		c, err = s.hub.store.from(ctx, topic, c)
	}
	if err != nil {
		if !errors.Is(err, ErrAhead) {
			s.hub.countError("redis")
		}
		return false, err
	}
	return s.open(topic, c, func() { begins(c) }), nil
}
