package messaging

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/leanvibe/hive/api/frame"
)

// Bounds of a session.
const (
	// frameMax is what one frame from the client may have, in bytes.
	frameMax = MaxBody + 4<<10
	// outMax are the frames buffered for a client.
	outMax = 256
	// writeMax is how long one write may take before the client counts as slow.
	writeMax = 5 * time.Second
	// pingEvery finds dead peers, and keeps proxies from closing idle sockets.
	pingEvery = 20 * time.Second
	// lookEvery is the longest that a lost announcement delays a message.
	lookEvery = time.Second
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

// outgoing is a frame on its way out; delivered ones are timed.
type outgoing struct {
	frame.Frame
	storedAt time.Time
}

// session is one agent's WebSocket.
type session struct {
	hub    *hub
	conn   *websocket.Conn
	id     string
	agent  string
	cursor string

	wake   chan struct{}
	out    chan outgoing
	ending chan endReason
}

func (s *session) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// end asks for the session's end; the first reason stands.
func (s *session) end(r endReason) {
	select {
	case s.ending <- r:
	default:
	}
}

// run serves the socket until one side ends it.
func (s *session) run(parent context.Context) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	var wg sync.WaitGroup
	s.out <- outgoing{Frame: frame.Frame{Type: frame.Hello, Agent: s.agent, Cursor: s.cursor, Instance: s.hub.instance}}
	wg.Go(func() { s.write(ctx) })
	wg.Go(func() { s.read(ctx) })
	wg.Go(func() { s.deliver(ctx) })
	wg.Go(func() { s.ping(ctx) })
	if err := s.hub.inboxes.Connected(ctx, s.agent, s.id); err != nil {
		s.hub.log.Warn("could not announce a session; an older one may live on", "agent", s.agent, "error", err)
	}
	s.hub.log.Info("agent connected", "agent", s.agent, "session", s.id, "cursor", s.cursor)

	reason := <-s.ending
	// Close writes the close frame and waits for the peer's; reading goes on
	// meanwhile, so the socket is closed before the readers are stopped.
	_ = s.conn.Close(reason.code(), string(reason))
	cancel()
	wg.Wait()
	s.hub.metrics.closed.WithLabelValues(string(reason)).Inc()
	s.hub.log.Info("agent disconnected", "agent", s.agent, "session", s.id, "reason", reason)
}

// read handles the client's frames until the socket ends.
func (s *session) read(ctx context.Context) {
	for {
		kind, raw, err := s.conn.Read(ctx)
		if err != nil {
			s.end(readEnd(err))
			return
		}
		var f frame.Frame
		if kind != websocket.MessageText {
			err = errors.New("frames are JSON text")
		} else {
			err = json.Unmarshal(raw, &f)
		}
		if err != nil {
			s.reply(frame.Frame{Type: frame.Error, Code: "invalid_argument", Message: err.Error()})
			continue
		}
		s.handle(ctx, f)
	}
}

func readEnd(err error) endReason {
	if websocket.CloseStatus(err) != -1 || errors.Is(err, io.EOF) {
		return endClient
	}
	return endError
}

func (s *session) handle(ctx context.Context, f frame.Frame) {
	switch f.Type {
	case frame.Send:
		s.send(ctx, f)
	case frame.Ack:
		s.ack(ctx, f)
	case frame.Ping:
		s.reply(frame.Frame{Type: frame.Pong, ID: f.ID})
	default:
		s.reply(frame.Frame{Type: frame.Error, ID: f.ID, Code: "invalid_argument", Message: "unknown type; known: send, ack, ping"})
	}
}

func (s *session) send(ctx context.Context, f frame.Frame) {
	l := letter{From: s.agent, To: f.To, ID: f.ID, Body: f.Body}
	problems, err := l.check()
	if err != nil {
		s.reply(frame.Frame{Type: frame.Error, ID: f.ID, Code: "payload_too_large", Message: err.Error()})
		return
	}
	if problems != nil {
		s.reply(frame.Frame{Type: frame.Error, ID: f.ID, Code: "invalid_argument", Message: problems[0].Field + " " + problems[0].Problem})
		return
	}
	cursor, duplicate, err := s.hub.put(ctx, &l)
	if err != nil {
		s.reply(frame.Frame{Type: frame.Error, ID: f.ID, Code: "unavailable", Message: err.Error()})
		return
	}
	s.reply(frame.Frame{Type: frame.Sent, ID: f.ID, Cursor: cursor, Duplicate: duplicate})
}

func (s *session) ack(ctx context.Context, f frame.Frame) {
	if !cursorPattern.MatchString(f.Cursor) {
		s.reply(frame.Frame{Type: frame.Error, ID: f.ID, Code: "invalid_argument", Message: "cursor must be one that a deliver frame carried"})
		return
	}
	n, err := s.hub.inboxes.Ack(ctx, s.agent, f.Cursor)
	if err != nil {
		s.hub.countError("redis")
		s.reply(frame.Frame{Type: frame.Error, ID: f.ID, Cursor: f.Cursor, Code: "unavailable", Message: err.Error()})
		return
	}
	s.hub.metrics.count("acknowledged", n)
}

// reply queues an answer. A client that sends without reading fills the buffer.
func (s *session) reply(f frame.Frame) {
	select {
	case s.out <- outgoing{Frame: f}:
	default:
		s.end(endSlow)
	}
}

// deliver queues the inbox from the cursor on, as fast as the client reads.
func (s *session) deliver(ctx context.Context) {
	for {
		messages, err := s.hub.inboxes.After(ctx, s.agent, s.cursor)
		if err != nil && ctx.Err() == nil {
			s.hub.countError("redis")
		}
		for _, m := range messages {
			at := m.StoredAt
			f := frame.Frame{Type: frame.Deliver, ID: m.ID, From: m.From, Cursor: m.Cursor, Body: m.Body, SentAt: &at}
			select {
			case s.out <- outgoing{Frame: f, storedAt: at}:
				s.cursor = m.Cursor
			case <-ctx.Done():
				return
			}
		}
		if len(messages) == fetchMost {
			continue
		}
		look := time.NewTimer(lookEvery + rand.N(lookEvery/4))
		select {
		case <-ctx.Done():
			look.Stop()
			return
		case <-s.wake:
		case <-look.C:
		}
		look.Stop()
	}
}

// write sends what is queued, one frame at a time.
func (s *session) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-s.out:
			raw, err := json.Marshal(o.Frame)
			if err != nil {
				s.hub.log.Error("frame not encodable", "agent", s.agent, "cursor", o.Cursor, "error", err)
				s.end(endError)
				return
			}
			if !s.writeOne(ctx, raw) {
				return
			}
			if !o.storedAt.IsZero() {
				s.hub.metrics.delivered(o.storedAt)
			}
		}
	}
}

func (s *session) writeOne(ctx context.Context, raw []byte) bool {
	limit, cancel := context.WithTimeout(ctx, writeMax)
	defer cancel()
	err := s.conn.Write(limit, websocket.MessageText, raw)
	switch {
	case err == nil:
		return true
	case limit.Err() != nil && ctx.Err() == nil:
		s.end(endSlow)
	default:
		s.end(endError)
	}
	return false
}

// ping finds peers that have gone without a word.
func (s *session) ping(ctx context.Context) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		limit, cancel := context.WithTimeout(ctx, writeMax)
		err := s.conn.Ping(limit)
		cancel()
		if err != nil {
			s.end(endError)
			return
		}
	}
}
