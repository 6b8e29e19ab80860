package messaging

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/leanvibe/hive/api/frame"
)

// Bounds of a session.
const (
	// frameMax is what one JSON frame from the client may have, in bytes; a binary one frame.BatchMax.
	frameMax = MaxBody + 4<<10
	// writeMax is how long one write may take before the client counts as slow.
	writeMax = 5 * time.Second
	// pingEvery finds dead peers, and keeps proxies from closing idle sockets.
	pingEvery = 20 * time.Second
	// topicsMax bounds a session's subscriptions.
	topicsMax = 64
	// inFlightMax is what a session may have on its way to Redis, in bytes; beyond it the hub stops reading.
	inFlightMax = 4 << 20
)

// endReason says why a session ends; it is also the metric's label.
type endReason string

const (
	endDraining endReason = "draining"
	endSlow     endReason = "slow"
	endReplaced endReason = "replaced"
	endClient   endReason = "client"
	endError    endReason = "error"
)

// code is what the client is told.
func (r endReason) code() websocket.StatusCode {
	switch r {
	case endDraining:
		return websocket.StatusGoingAway
	case endSlow:
		return frame.CloseSlow
	case endReplaced:
		return frame.CloseReplaced
	case endClient:
		return websocket.StatusNormalClosure
	default:
		return websocket.StatusInternalError
	}
}

// session is one agent's WebSocket.
type session struct {
	hub    *hub
	conn   *websocket.Conn
	id     string
	agent  string
	nth    int64 // connection of this agent, on any hub
	speech speech
	ending chan endReason

	out   outbox
	feeds map[string]*feed // under out.mu

	unflushed frame.Cursor // the last acknowledgement in JSON that may still gather; the reader's

	flight struct {
		sync.Mutex
		bytes    int
		room     chan struct{}
		draining bool // no more is taken in
	}
}

// speech is one of the two forms of frames.
type speech interface {
	// hear reads one frame; it answers what is wrong to the client itself.
	hear(ctx context.Context, s *session, kind websocket.MessageType, raw []byte)
	// say writes out what waits.
	say(ctx context.Context, s *session, queue []outgoing) error
	hello(s *session, c frame.Cursor) outgoing
	limit() int64
}

// end asks for the session's end; the first reason stands.
func (s *session) end(r endReason) {
	select {
	case s.ending <- r:
	default:
	}
}

// run serves the socket until one side ends it.
func (s *session) run(parent context.Context, cursor frame.Cursor) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	var wg sync.WaitGroup
	s.answer(s.speech.hello(s, cursor))
	s.open(s.agent, cursor, func() {})
	wg.Go(func() { s.write(ctx) })
	wg.Go(func() { s.read(ctx) })
	if err := s.hub.announce.connected(ctx, s.agent, s.nth); err != nil {
		s.hub.log.Warn("could not announce a session; an older one may live on", "agent", s.agent, "error", err)
	}
	s.hub.log.Info("agent connected", "agent", s.agent, "session", s.id, "cursor", cursor.String())

	reason := <-s.ending
	s.hub.metrics.closed.WithLabelValues(string(reason)).Inc()
	// Close writes the close frame and waits for the peer's; reading goes on
	// meanwhile, so the socket is closed before the readers are stopped.
	_ = s.conn.Close(reason.code(), string(reason))
	cancel()
	wg.Wait()
	s.closeAll()
	s.hub.log.Info("agent disconnected", "agent", s.agent, "session", s.id, "reason", reason)
}

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

// read handles the client's frames until the socket ends.
func (s *session) read(ctx context.Context) {
	for {
		if err := s.hear(ctx); err != nil {
			s.end(readEnd(err))
			return
		}
		if !s.room(ctx) {
			return
		}
	}
}

// inputs are for frames on their way in: a session holds one only while a frame is there.
var inputs = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// hear waits for a frame and handles it.
func (s *session) hear(ctx context.Context) error {
	kind, r, err := s.conn.Reader(ctx)
	if err != nil {
		return err
	}
	in := inputs.Get().(*bytes.Buffer)
	defer inputs.Put(in)
	in.Reset()
	if _, err := in.ReadFrom(r); err != nil {
		return err
	}
	s.speech.hear(ctx, s, kind, in.Bytes())
	return nil
}

func readEnd(err error) endReason {
	if websocket.CloseStatus(err) != -1 || errors.Is(err, io.EOF) {
		return endClient
	}
	return endError
}

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

// write sends what waits, and a ping when it is quiet.
func (s *session) write(ctx context.Context) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	var spare []outgoing
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !s.ping(ctx) {
				return
			}
		case <-s.out.signal:
		}
		queue, parked := s.waiting(spare)
		if len(queue) > 0 && !s.within(ctx, func(ctx context.Context) error { return s.speech.say(ctx, s, queue) }) {
			return
		}
		s.written()
		s.hub.tallyDelivered(queue)
		s.hub.feeds.feed(parked...)
		clear(queue)
		spare = queue
		if cap(spare) > answersMax {
			spare = nil
		}
	}
}

// within bounds one write. A client that takes longer than writeMax is slow: the
// session ends, and as long again is given to the frame, because the close code
// can only follow it.
func (s *session) within(ctx context.Context, do func(context.Context) error) bool {
	limit, cancel := context.WithTimeout(ctx, 2*writeMax)
	defer cancel()
	late := time.AfterFunc(writeMax, func() { s.end(endSlow) })
	err := do(limit)
	if !late.Stop() {
		return false
	}
	if err != nil {
		s.end(endError)
	}
	return err == nil
}

// ping finds a dead peer.
func (s *session) ping(ctx context.Context) bool {
	limit, cancel := context.WithTimeout(ctx, writeMax)
	defer cancel()
	err := s.conn.Ping(limit)
	if err != nil {
		s.end(endError)
	}
	return err == nil
}
