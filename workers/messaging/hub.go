package messaging

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/leanvibe/hive/api/frame"
)

// hub holds the sessions of this replica and wakes them.
type hub struct {
	store      *store
	commits    *committer
	feeds      *feeds
	announce   *announcer
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
	agent := r.URL.Query().Get("agent")
	if !frame.ValidAgent(agent) {
		fail(w, http.StatusBadRequest, codeAddress, "the agent is not valid", []problem{{"agent", agentForm}})
		return
	}
	_, cursor, problems := mailbox(agent, r.URL.Query().Get("cursor"))
	if problems != nil {
		fail(w, http.StatusBadRequest, codeInvalid, "the cursor is not valid", problems)
		return
	}
	cursor, err := h.store.from(r.Context(), agent, cursor)
	if err != nil {
		h.unavailable(w, err)
		return
	}
	nth, err := h.store.connected(r.Context(), agent)
	if err != nil {
		h.unavailable(w, err)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		CompressionMode: websocket.CompressionDisabled, Subprotocols: []string{frame.Subprotocol, frame.SubprotocolJSON},
	})
	if err != nil {
		return // Accept has answered
	}
	s := newSession(h, conn, agent)
	s.nth = nth
	conn.SetReadLimit(s.speech.limit())
	if !h.add(s) {
		_ = conn.Close(websocket.StatusGoingAway, "draining")
		return
	}
	defer h.remove(s)
	// The request's context ends with the handler; hijacked, it says nothing more.
	s.run(context.WithoutCancel(r.Context()), cursor)
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

// drain closes every socket with 1001, each when what it has sent is answered, and
// waits for their ends. Redis bounds it: what it does not confirm in commitMax is refused.
func (h *hub) drain(ctx context.Context) {
	h.mu.Lock()
	h.draining = true
	var all []*session
	for _, set := range h.sessions {
		for s := range set {
			all = append(all, s)
		}
	}
	h.mu.Unlock()
	for _, s := range all {
		s.drain()
	}
	done := make(chan struct{})
	go func() { h.ended.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		for _, s := range all {
			s.end(endDraining)
		}
	}
}

// replaced ends the older sessions of an agent that has connected again.
func (h *hub) replaced(agent string, newest int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sessions[agent] {
		if s.nth < newest {
			s.end(endReplaced)
		}
	}
}

func newSession(h *hub, conn *websocket.Conn, agent string) *session {
	s := &session{
		hub: h, conn: conn, id: uuid.NewString(), agent: agent, speech: jsonSpeech{},
		feeds: map[string]*feed{}, out: outbox{signal: make(chan struct{}, 1), wakes: &h.commits.wakes},
	}
	if conn.Subprotocol() == frame.Subprotocol {
		s.speech = &batchSpeech{}
	}
	s.ended, s.ending = context.WithCancelCause(context.Background())
	s.flight.room = make(chan struct{}, 1)
	return s
}
