package process

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/process/access"
)

const (
	agentToken    = "agent-token-0123456789"
	namedToken    = "named-token-0123456789"
	clientToken   = "client-token-0123456789"
	operatorToken = "operator-token-0123456789"

	// patience bounds what must come.
	patience = time.Minute
)

// server is a process in the test's own that answers calls of the table.
type server struct {
	*Process
	addr string
	logs string // the directory
	// served is what handlers have seen; ended is how streams ended.
	served, ended chan string
}

func start(t *testing.T, change func(*Config)) *server {
	t.Helper()
	cfg := Config{
		Service: "test", Version: "test", Instance: "one", Listen: "127.0.0.1:0", LogDir: t.TempDir(),
		DrainMin: time.Millisecond, ShutdownMax: patience, Limits: access.DefaultLimits(),
	}
	change(&cfg)
	p, err := New(cfg)
	require.NoError(t, err)
	s := &server{Process: p, served: make(chan string, 64), ended: make(chan string, 64)}
	read := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		s.served <- r.Header.Get("Sec-WebSocket-Protocol")
		WriteJSON(w, http.StatusOK, map[string]any{"read": n, "failed": err != nil})
	})
	p.Handle("/v1/", read)
	p.Handle("/hive.v1.AssignmentService/", read)
	p.HandleStream("POST /hive.v1.AssignmentService/Attach", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body) // whole frames or nothing of the last
		_ = http.NewResponseController(w).Flush()
		s.ended <- "body"
	}))
	p.HandleStream("GET /v1/tasks/{id}/wait", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				s.ended <- "write"
				return
			}
		}
	}))
	p.Handle("GET /v1/tasks/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select { // a long poll that outlasts every limit of the test
		case <-r.Context().Done():
			s.ended <- "cut"
		case <-time.After(longer):
			WriteJSON(w, http.StatusOK, map[string]string{"waited": r.PathValue("id")})
		}
	}))
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	addr, err := p.Addr(t.Context())
	require.NoError(t, err)
	s.addr = addr.String()
	s.logs = cfg.LogDir
	return s
}

// logged is what stands in the log, which has a file a day.
func (s *server) logged(t *testing.T) string {
	t.Helper()
	days, err := filepath.Glob(filepath.Join(s.logs, "one-*.log"))
	require.NoError(t, err)
	require.NotEmpty(t, days)
	var all strings.Builder
	for _, day := range days {
		raw, err := os.ReadFile(day)
		require.NoError(t, err)
		all.Write(raw)
	}
	return all.String()
}

func (s *server) refusals(t *testing.T, reason string) float64 {
	t.Helper()
	return s.counted(t, "leanvibe_access_refused_total", reason)
}

// counted answers a counter's value; label is its only label's, or empty.
func (s *server) counted(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := s.Registry().Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue()
			}
		}
	}
	require.Fail(t, name+" does not exist")
	return 0
}

func tokens(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	put(t, path, "agent "+agentToken+"\nagent "+namedToken+" worker\nclient "+clientToken+"\noperator "+operatorToken+"\n")
	return path
}

func put(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// said is a refusal as a client reads it.
type said struct {
	Error   struct{ Code, Reason, Message string }
	Code    string
	Message string
}

func ask(t *testing.T, s *server, method, path string, header map[string]string) (*http.Response, said) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr+path, strings.NewReader("{}"))
	require.NoError(t, err)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var out said
	_ = json.NewDecoder(resp.Body).Decode(&out)
	return resp, out
}

func bearer(token string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token}
}

func TestAccess_EveryRefusalIsItsOwn(t *testing.T) {
	s := start(t, func(c *Config) { c.AccessFile = tokens(t) })
	for name, c := range map[string]struct {
		path                      string
		header                    map[string]string
		status                    int
		code, reason, says, claim string
	}{
		"missing": {"/v1/tasks", nil, 401, "unauthenticated", "token_missing", "send the header", "Bearer"},
		"empty": {"/v1/tasks", map[string]string{"Authorization": ""}, 401,
			"unauthenticated", "token_malformed", `not one "Bearer TOKEN"`, `Bearer error="invalid_request"`},
		"other kind": {"/v1/tasks", map[string]string{"Authorization": "Basic " + clientToken}, 401,
			"unauthenticated", "token_malformed", "", `Bearer error="invalid_request"`},
		"blank in it": {"/v1/tasks", bearer("a b"), 401,
			"unauthenticated", "token_malformed", "", `Bearer error="invalid_request"`},
		"unknown": {"/v1/tasks", bearer(clientToken + "0"), 401,
			"unauthenticated", "token_unknown", "not one that this service knows", `Bearer error="invalid_token"`},
		"client asks for stats": {"/v1/stats", bearer(clientToken), 403, "permission_denied", "role",
			"role client may submit and read tasks and send messages, not call POST /v1/stats: that is for operator", `Bearer error="insufficient_scope"`},
		"agent submits": {"/hive.v1.AssignmentService/Submit", bearer(agentToken), 403, "permission_denied", "role",
			"that is for client, operator", `Bearer error="insufficient_scope"`},
		"nobody knows it": {"/v1/unheard-of", bearer(clientToken), 403, "permission_denied", "role", "that is for operator", `Bearer error="insufficient_scope"`},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.refusals(t, c.reason)
			resp, out := ask(t, s, "POST", c.path, c.header)
			require.Equal(t, c.status, resp.StatusCode)
			require.Equal(t, c.code, out.Error.Code)
			require.Equal(t, c.reason, out.Error.Reason)
			require.Contains(t, out.Error.Message, c.says)
			require.Equal(t, c.code, out.Code, "as Connect reads it")
			require.Equal(t, out.Error.Message, out.Message)
			require.Equal(t, c.claim, resp.Header.Get("WWW-Authenticate"))
			require.InDelta(t, before+1, s.refusals(t, c.reason), 0)
		})
	}
	t.Run("another agent's inbox", func(t *testing.T) {
		resp, out := ask(t, s, "GET", "/v1/messages?of=other", bearer(namedToken))
		require.Equal(t, 403, resp.StatusCode)
		require.Equal(t, "not_own", out.Error.Reason)
		require.Equal(t, `the token of agent "worker" speaks for worker and worker-*, not for "other"`, out.Message)
		resp, _ = ask(t, s, "GET", "/v1/messages?of=worker-7", bearer(namedToken))
		require.Equal(t, 200, resp.StatusCode)
	})
	t.Run("gRPC", func(t *testing.T) {
		resp, _ := ask(t, s, "POST", "/hive.v1.AssignmentService/Stats", map[string]string{"Content-Type": "application/grpc"})
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, "16", resp.Header.Get("Grpc-Status"))
		require.Contains(t, resp.Header.Get("Grpc-Message"), "no token")
	})
	require.Len(t, s.served, 1, "of the refused requests no handler has seen one")
	for _, token := range []string{agentToken, clientToken, operatorToken} {
		require.NotContains(t, s.logged(t), token)
	}
}

func TestAccess_WhoMayComesIn(t *testing.T) {
	s := start(t, func(c *Config) { c.AccessFile = tokens(t) })
	for _, c := range []struct{ path, token string }{
		{"/v1/tasks", clientToken},
		{"/v1/tasks", operatorToken},
		{"/v1/messages", agentToken},
		{"/hive.v1.AssignmentService/Heartbeat", agentToken},
		{"/hive.v1.AssignmentService/Stats", operatorToken},
		{"/v1/unheard-of", operatorToken},
	} {
		resp, out := ask(t, s, "POST", c.path, map[string]string{"Authorization": "bearer " + c.token})
		require.Equal(t, 200, resp.StatusCode, "%s: %s", c.path, out.Message)
	}
	for _, open := range []string{"/health", "/healthz", "/readyz", "/metrics"} {
		resp, _ := ask(t, s, "GET", open, nil)
		require.Equal(t, 200, resp.StatusCode, open)
	}
}

func TestAccess_ABrowserSendsItsTokenAsASubprotocol(t *testing.T) {
	s := start(t, func(c *Config) { c.AccessFile = tokens(t) })
	resp, _ := ask(t, s, "GET", "/v1/hub/connect?agent=a", map[string]string{"Sec-WebSocket-Protocol": "bearer." + agentToken + ", hive.json.v1"})
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "hive.json.v1", <-s.served, "the handler, and so its answer, never sees the token")
	resp, out := ask(t, s, "GET", "/v1/hub/connect?agent=a", map[string]string{"Sec-WebSocket-Protocol": "bearer." + clientToken})
	require.Equal(t, 403, resp.StatusCode, out.Message)
}

func TestAccess_OpenWithOneWarning(t *testing.T) {
	s := start(t, func(*Config) {})
	for range 3 {
		resp, _ := ask(t, s, "POST", "/v1/stats", nil)
		require.Equal(t, 200, resp.StatusCode)
	}
	require.Equal(t, 1, strings.Count(s.logged(t), "access is open"))
}

func TestAccess_BadFileDoesNotStart(t *testing.T) {
	path := tokens(t)
	put(t, path, "agent "+agentToken+"\nclient short\n")
	_, err := New(Config{AccessFile: path})
	require.EqualError(t, err, path+":2: the token has 5 characters, at least 16 are needed")
}

// hangup tells the process to read its files; it says so in its log.
func hangup(t *testing.T, s *server, says string) {
	t.Helper()
	before := strings.Count(s.logged(t), says)
	require.Eventually(t, func() bool {
		require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
		return strings.Count(s.logged(t), says) > before
	}, patience, 20*time.Millisecond)
}

func TestAccess_ChangedFileOnSignal(t *testing.T) {
	path := tokens(t)
	s := start(t, func(c *Config) { c.AccessFile = path })
	resp, _ := ask(t, s, "POST", "/v1/tasks", bearer(clientToken))
	require.Equal(t, 200, resp.StatusCode)
	require.Eventually(t, func() bool { return strings.Contains(s.logged(t), "serving") }, patience, time.Millisecond)

	put(t, path, "client "+clientToken+"\nclient short\n")
	hangup(t, s, path+":2: the token has 5 characters")
	require.Positive(t, s.counted(t, "leanvibe_access_reload_errors_total", ""))
	resp, _ = ask(t, s, "POST", "/v1/tasks", bearer(clientToken))
	require.Equal(t, 200, resp.StatusCode, "what was in force stays")

	put(t, path, "operator "+operatorToken+"x\n")
	hangup(t, s, "read again")
	resp, out := ask(t, s, "POST", "/v1/tasks", bearer(clientToken))
	require.Equal(t, 401, resp.StatusCode)
	require.Equal(t, "token_unknown", out.Error.Reason)
	resp, _ = ask(t, s, "POST", "/v1/tasks", bearer(operatorToken+"x"))
	require.Equal(t, 200, resp.StatusCode)
}

func TestAccess_ChangedFileIsFoundByLooking(t *testing.T) {
	path := tokens(t)
	s := start(t, func(c *Config) { c.AccessFile = path })
	file, err := access.OpenFile(path)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	w := access.Watcher{
		Files: map[string]access.Watched{"tokens": file}, Every: time.Millisecond, Log: s.Log, Failed: func() {},
	}
	done.Go(func() { w.Run(ctx) })
	defer done.Wait()
	defer stop()
	put(t, path, "operator "+operatorToken+"\n")
	require.Eventually(t, func() bool { return file.Len() == 1 }, patience, time.Millisecond)
}

const (
	// short is a limit that a test can wait for, and that a busy machine keeps.
	short = time.Second
	// longer outlasts it.
	longer = 2 * short
)
