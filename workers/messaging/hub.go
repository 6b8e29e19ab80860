package messaging

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// hub holds the sessions of this replica and wakes them.
type hub struct {
	inboxes    *Inboxes
	metrics    *metrics
	log        *slog.Logger
	instance   string
	countError func(kind string)

	mu       sync.Mutex
	draining bool
	sessions map[string]map[*session]struct{} // by agent
	ended    sync.WaitGroup
}

// connect serves GET /v1/hub/connect.
func (h *hub) connect(w http.ResponseWriter, r *http.Request) {
	agent, cursor := r.URL.Query().Get("agent"), r.URL.Query().Get("cursor")
	if !agentPattern.MatchString(agent) {
		fail(w, http.StatusBadRequest, "invalid_argument", "the agent is not valid", []problem{{"agent", agentForm}})
		return
	}
	if cursor != "" && !cursorPattern.MatchString(cursor) {
		fail(w, http.StatusBadRequest, "invalid_argument", "the cursor is not valid", []problem{{"cursor", "must be one that a deliver or sent frame carried"}})
		return
	}
	if cursor == "" {
		var err error
		if cursor, err = h.inboxes.Acked(r.Context(), agent); err != nil {
			h.countError("redis")
			fail(w, http.StatusServiceUnavailable, "unavailable", err.Error(), nil)
			return
		}
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // Accept has answered
	}
	conn.SetReadLimit(frameMax)
	s := newSession(h, conn, agent, cursor)
	if !h.add(s) {
		_ = conn.Close(websocket.StatusGoingAway, "draining")
		return
	}
	defer h.remove(s)
	// The request's context ends with the handler; hijacked, it says nothing more.
	s.run(context.WithoutCancel(r.Context()))
}

// add registers a session, unless the hub drains.
func (h *hub) add(s *session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return false
	}
	if h.sessions[s.agent] == nil {
		h.sessions[s.agent] = map[*session]struct{}{}
	}
	h.sessions[s.agent][s] = struct{}{}
	h.ended.Add(1)
	h.metrics.sessions.Inc()
	return true
}

func (h *hub) remove(s *session) {
	h.mu.Lock()
	delete(h.sessions[s.agent], s)
	if len(h.sessions[s.agent]) == 0 {
		delete(h.sessions, s.agent)
	}
	h.mu.Unlock()
	h.metrics.sessions.Dec()
	h.ended.Done()
}

// drain closes every socket with 1001 and waits for their ends.
func (h *hub) drain(ctx context.Context) {
	h.mu.Lock()
	h.draining = true
	for _, set := range h.sessions {
		for s := range set {
			s.end(endDraining)
		}
	}
	h.mu.Unlock()
	done := make(chan struct{})
	go func() { h.ended.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// listen wakes sessions on what other hubs and this one announce. Announcements
// may be lost: sessions look by themselves now and then.
func (h *hub) listen(ctx context.Context) error {
	sub := h.inboxes.redis.Subscribe(ctx, wakeChannel)
	defer sub.Close()
	ch := sub.Channel(redis.WithChannelSize(4096), redis.WithChannelHealthCheckInterval(time.Second))
	for {
		select {
		case <-ctx.Done():
			return nil
		case msg, ok := <-ch:
			if !ok {
				return nil
			}
			h.announced(msg.Payload)
		}
	}
}

func (h *hub) announced(payload string) {
	kind, value, _ := strings.Cut(payload, ":")
	agent, newest, _ := strings.Cut(value, ":")
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sessions[agent] {
		switch {
		case kind == "w":
			s.nudge()
		case kind == "c" && s.id != newest:
			s.end(endReplaced)
		}
	}
}

func newSession(h *hub, conn *websocket.Conn, agent, cursor string) *session {
	return &session{
		hub: h, conn: conn, id: uuid.NewString(), agent: agent, cursor: cursor,
		wake: make(chan struct{}, 1), out: make(chan outgoing, outMax), ending: make(chan endReason, 1),
	}
}
