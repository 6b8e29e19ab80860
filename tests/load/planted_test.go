package load

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/leanvibe/hive/api/frame"
)

// planted is a stack in one process that can be told to do wrong. Each fault is something that the loader must find.
type planted struct {
	// dropPost closes the connection of the n-th POST after its task is stored; dropGet the n-th GET of a task.
	dropPost, dropGet int
	// failGet answers the n-th GET of a task with 502.
	failGet int
	// executeTwice counts two executions for the n-th task; completeTwice two completions; storeTwice stores it twice.
	executeTwice, completeTwice, storeTwice int
	// forget acknowledges the n-th task and does not store it; never leaves it waiting; share answers it with the first's id.
	forget, never, share int
	// wrongTask answers the n-th GET with another task.
	wrongTask int
	// stallAt holds every answer back once, from the n-th POST on, until so many requests wait together.
	stallAt, together int
	// polite closes each connection after this many requests, saying so.
	polite int
	// closeCode ends each WebSocket once, after its third message; refuse is how long it may not come back.
	closeCode websocket.StatusCode
	refuse    time.Duration
	// mute accepts a WebSocket that comes back, and closes it without a greeting, for as long as refuse says.
	mute bool
	// again is how many agents must be heard again after their closure.
	again int
	// loseMail drops the n-th message after saying that it is stored, doubleMail delivers it twice.
	loseMail, doubleMail int

	mu       sync.Mutex
	tasks    map[string]string // id → key
	stats    counters
	posts    int
	gets     int
	served   int
	version  string
	stalled  chan struct{} // closed when the stall is over
	waiting  int
	agents   map[string]*websocket.Conn
	closed   map[string]time.Time
	messages int
	returned int // agents that have sent something after a closure
}

// happened says that the faults of the WebSockets have; those of requests are early ones.
func (p *planted) happened() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	const mail = 20 // the doubled one's second copy is no longer under way
	return (p.closeCode == 0 || len(p.closed) == len(p.agents)) && p.returned >= p.again && (p.loseMail+p.doubleMail == 0 || p.messages >= mail)
}

func start(t *testing.T, p *planted) *httptest.Server {
	t.Helper()
	p.tasks, p.stats = map[string]string{}, counters{}
	p.agents, p.closed, p.version = map[string]*websocket.Conn{}, map[string]time.Time{}, "1"
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/tasks", p.submit)
	mux.HandleFunc("GET /v1/tasks/{id}", p.get)
	mux.HandleFunc("GET /v1/tasks/{id}/wait", p.wait)
	mux.HandleFunc("GET /v1/stats", p.counters)
	mux.HandleFunc("GET /v1/hub/connect", p.connect)
	server := httptest.NewServer(p.common(mux))
	t.Cleanup(server.Close)
	return server
}

// common stamps each answer, and closes connections politely where the fixture does.
func (p *planted) common(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.served++
		w.Header().Set("X-Hive-Instance", "planted")
		w.Header().Set("X-Hive-Version", p.version)
		if p.polite > 0 && p.served%p.polite == 0 && r.Header.Get("Upgrade") == "" {
			w.Header().Set("Connection", "close")
		}
		stalled := p.stalled
		if stalled != nil {
			if p.waiting++; p.waiting == p.together {
				close(stalled)
				p.stalled = nil
			}
		}
		p.mu.Unlock()
		if stalled != nil {
			<-stalled
		}
		next.ServeHTTP(w, r)
	})
}

func (p *planted) submit(w http.ResponseWriter, r *http.Request) {
	var d draft
	_ = json.NewDecoder(r.Body).Decode(&d)
	if strings.HasSuffix(d.Queue, "-held") {
		fmt.Fprint(w, `{"task":{"id":"held"}}`)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.posts++
	id := fmt.Sprintf("t%d", p.posts)
	p.store(id, r.Header.Get("Idempotency-Key"))
	switch p.posts {
	case p.dropPost:
		hangUp(w)
		return
	case p.share:
		id = "t1"
	case p.stallAt:
		p.stalled = make(chan struct{})
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"task":{"id":%q}}`, id)
}

func (p *planted) store(id, key string) {
	if p.posts == p.forget {
		return
	}
	p.tasks[id] = key
	p.stats.Submitted++
	if p.posts == p.never {
		p.stats.Waiting++
		return
	}
	p.stats.Executions++
	p.stats.Completed++
	switch p.posts {
	case p.executeTwice:
		p.stats.Executions++
	case p.completeTwice:
		p.stats.Completed++
	case p.storeTwice:
		p.stats.Submitted++
		p.stats.Executions++
		p.stats.Completed++
	}
}

func (p *planted) get(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gets++
	id := r.PathValue("id")
	key, known := p.tasks[id]
	switch {
	case p.gets == p.dropGet:
		hangUp(w)
		return
	case p.gets == p.failGet:
		w.WriteHeader(http.StatusBadGateway)
		return
	case !known:
		w.WriteHeader(http.StatusNotFound)
		return
	case p.gets == p.wrongTask:
		id = "another"
	}
	state := "completed"
	if p.never > 0 && id == fmt.Sprintf("t%d", p.never) {
		state = "waiting"
	}
	fmt.Fprintf(w, `{"task":{"id":%q,"idempotency_key":%q,"state":%q}}`, id, key, state)
}

func (*planted) wait(w http.ResponseWriter, r *http.Request) {
	held, _ := time.ParseDuration(r.URL.Query().Get("timeout"))
	<-time.After(held)
	fmt.Fprintf(w, `{"task":{"id":%q}}`, r.PathValue("id"))
}

func (p *planted) counters(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Queue = r.URL.Query().Get("queue")
	_ = json.NewEncoder(w).Encode(p.stats)
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = connection.Close()
	}
}

func (p *planted) connect(w http.ResponseWriter, r *http.Request) {
	agent := r.URL.Query().Get("agent")
	p.mu.Lock()
	closed, before := p.closed[agent]
	p.mu.Unlock()
	away := before && time.Since(closed) < p.refuse
	if away && !p.mute {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	connection, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	if away {
		_ = connection.Close(websocket.StatusGoingAway, "planted")
		return
	}
	p.mu.Lock()
	p.agents[agent] = connection
	p.mu.Unlock()
	_ = wsjson.Write(r.Context(), connection, frame.Frame{Type: frame.Hello})
	for heard := 1; ; heard++ {
		var f frame.Frame
		if wsjson.Read(r.Context(), connection, &f) != nil {
			return
		}
		if f.Type == frame.Send {
			p.relay(r, connection, f)
		}
		if before && heard == 1 {
			p.mu.Lock()
			p.returned++
			p.mu.Unlock()
		}
		if heard == 3 && p.closeCode != 0 && !before {
			p.mu.Lock()
			p.closed[agent] = time.Now()
			p.mu.Unlock()
			_ = connection.Close(p.closeCode, "planted")
			return
		}
	}
}

// relay stores nothing: an agent that is away when its message comes has lost it, unless the fixture waits for it.
func (p *planted) relay(r *http.Request, from *websocket.Conn, f frame.Frame) {
	p.mu.Lock()
	p.messages++
	times := 1
	switch p.messages {
	case p.loseMail:
		times = 0
	case p.doubleMail:
		times = 2
	}
	to := p.agents[f.To]
	p.mu.Unlock()
	for range times {
		if to == nil || wsjson.Write(r.Context(), to, frame.Frame{Type: frame.Deliver, ID: f.ID, Body: f.Body}) != nil {
			return // not delivered, so not acknowledged either
		}
	}
	_ = wsjson.Write(r.Context(), from, frame.Frame{Type: frame.Sent, ID: f.ID})
}
