package messaging

import (
	"bytes"
	"context"
	"errors"
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

// session is one agent's WebSocket.
type session struct {
	hub    *hub
	conn   *websocket.Conn
	id     string
	agent  string
	nth    int64 // connection of this agent, on any hub
	speech speech
	ended  context.Context // its cause is the first endReason
	ending context.CancelCauseFunc

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
	hello(s *session, c frame.Cursor)
	limit() int64
	// joins tells whether answers may share a message.
	joins() bool
}

// run serves the socket until one side ends it. A goroutine waits for each direction and
// none for the end: of a session that is silent, their stacks are the most.
func (s *session) run(parent context.Context, cursor frame.Cursor) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	closed := make(chan struct{})
	context.AfterFunc(s.ended, func() {
		defer close(closed)
		s.close()
		cancel()
	})
	var others sync.WaitGroup
	s.speech.hello(s, cursor)
	s.open(s.agent, cursor, func() {})
	others.Go(func() { s.write(ctx) })
	others.Go(func() {
		if err := s.hub.announce.connected(ctx, s.agent, s.nth); err != nil {
			s.hub.log.Warn("could not announce a session; an older one may live on", "agent", s.agent, "error", err)
		}
	})
	s.hub.log.Info("agent connected", "agent", s.agent, "session", s.id, "cursor", cursor.String())
	s.read(ctx)
	<-closed
	others.Wait()
	s.closeAll()
	s.hub.log.Info("agent disconnected", "agent", s.agent, "session", s.id, "reason", context.Cause(s.ended))
}

// close writes the close frame and waits for the peer's; reading goes on meanwhile,
// so the socket is closed before the readers are stopped.
func (s *session) close() {
	reason := endError
	_ = errors.As(context.Cause(s.ended), &reason)
	s.hub.metrics.closed.WithLabelValues(string(reason)).Inc()
	_ = s.conn.Close(reason.code(), string(reason))
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
	// It ends with the socket. A context with an end would cost each frame more than
	// to read it does.
	kind, r, err := s.conn.Reader(context.Background())
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

// write sends what waits, and a ping when it is quiet.
func (s *session) write(ctx context.Context) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	late := time.AfterFunc(writeMax, func() { s.end(endSlow) })
	defer late.Stop()
	late.Stop()
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
		if len(queue) > 0 && !s.say(queue, late) {
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

// say writes out what waits. A client that takes longer than writeMax is slow: late
// ends the session, and the close waits as long again for the frame, because its code
// can only follow it; then it breaks the write off.
func (s *session) say(queue []outgoing, late *time.Timer) bool {
	late.Reset(writeMax)
	err := s.speech.say(context.Background(), s, queue)
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
