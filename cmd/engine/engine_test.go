package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment"
	"github.com/leanvibe/hive/workers/engine"
	"github.com/leanvibe/hive/workers/messaging"
	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workers/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Run(m)) }

const (
	// patience bounds what must come, on a machine that may stand still for a while.
	patience = time.Minute
	glance   = 10 * time.Millisecond
)

// service is one of ours, whole, in the test's own process.
type service struct {
	url  string
	stop context.CancelFunc
	done chan error
}

func start(t *testing.T, name string, setup process.Setup) *service {
	t.Helper()
	p, err := process.New(process.Config{
		Service: name, Version: "test", Instance: name, Listen: "127.0.0.1:0", DrainMin: glance, ShutdownMax: patience,
	})
	require.NoError(t, err)
	require.NoError(t, setup(t.Context(), p))
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s := &service{stop: stop, done: make(chan error, 1)}
	go func() { s.done <- p.Run(ctx) }()
	t.Cleanup(func() { stop(); <-s.done })
	addr, err := p.Addr(t.Context())
	require.NoError(t, err)
	s.url = "http://" + addr.String()
	return s
}

// end stops the service and asserts a clean end.
func (s *service) end(t *testing.T) {
	t.Helper()
	s.stop()
	err := <-s.done
	s.done <- nil
	require.NoError(t, err)
}

// stack is an orchestrator and a hub on one real Redis.
func stack(t *testing.T) (orchestrator, hub *service) {
	t.Helper()
	t.Setenv("HIVE_REDIS_ADDRS", redistest.Addr(t))
	secret := filepath.Join(t.TempDir(), "peer_token")
	require.NoError(t, os.WriteFile(secret, []byte("peer-token-0123456789"), 0o600))
	t.Setenv("HIVE_PEER_TOKEN_FILE", secret)
	t.Setenv("HIVE_PEER_LISTEN", "127.0.0.1:0")
	t.Setenv("HIVE_POSTGRES_DSN", "postgres://leanvibe@127.0.0.1:1/none") // the archive is behind the path: tasks flow without it
	// A machine that stands still loses neither a task nor a partition.
	t.Setenv("HIVE_LEASE", patience.String())
	t.Setenv("HIVE_TERM", "30s")
	return start(t, "orchestrator", assignment.Setup), start(t, "hub", messaging.Setup)
}

// host starts an engine on a configuration file.
func host(t *testing.T, name, config string, options ...engine.Option) *service {
	t.Helper()
	file := filepath.Join(t.TempDir(), "engine.yaml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	t.Setenv("HIVE_ENGINE_CONFIG", file)
	return start(t, name, engine.Setup(options...))
}

// task is what the orchestrator's REST interface says of one.
type task struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Attempt  int    `json:"attempt"`
	Failures int    `json:"failures"`
	Agent    string `json:"agent"`
	Result   string `json:"result"`
	Error    string `json:"error"`
}

// next answers what comes from a channel.
func next[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		require.Fail(t, "nothing came in time")
	}
	return v
}

func get(t *testing.T, url string, into any) {
	t.Helper()
	answer(t, settled(t, func() (*http.Response, error) { return http.Get(url) }), http.StatusOK, into)
}

// settled asks until the service is not away for a moment, as it is while a machine stands still.
func settled(t *testing.T, ask func() (*http.Response, error)) *http.Response {
	t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(glance) {
		resp, err := ask()
		require.NoError(t, err)
		if resp.StatusCode != http.StatusServiceUnavailable || time.Now().After(deadline) {
			return resp
		}
		require.NoError(t, resp.Body.Close())
	}
}

func answer(t *testing.T, resp *http.Response, code int, into any) {
	t.Helper()
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, code, resp.StatusCode, "%s", raw)
	require.NoError(t, json.Unmarshal(raw, into), "%s", raw)
}

// submit stores a task that only agents with the handler's capability get.
func (s *service) submit(t *testing.T, queue, handler, payload string, more map[string]any) string {
	t.Helper()
	draft := map[string]any{"queue": queue, "handler": handler, "capabilities": []string{handler}, "payload": payload}
	for k, v := range more {
		draft[k] = v
	}
	raw, err := json.Marshal(draft)
	require.NoError(t, err)
	key := rand.Text() // a try whose answer was "away" may have stored it
	resp := settled(t, func() (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/tasks", bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
		return http.DefaultClient.Do(req)
	})
	code := http.StatusCreated
	if resp.StatusCode == http.StatusOK {
		code = http.StatusOK
	}
	var out struct{ Task task }
	answer(t, resp, code, &out)
	return out.Task.ID
}

func (s *service) task(t *testing.T, id string) task {
	t.Helper()
	var out struct{ Task task }
	get(t, s.url+"/v1/tasks/"+id, &out)
	return out.Task
}

// finished waits for a task's end.
func (s *service) finished(t *testing.T, id string) task {
	t.Helper()
	var out struct{ Task task }
	get(t, s.url+"/v1/tasks/"+id+"/wait?timeout=20s", &out)
	require.Contains(t, []string{"completed", "dead"}, out.Task.State)
	return out.Task
}

// words is a handler of one's own, as a program that hosts one would have it.
func words(ctx context.Context, task *engine.Task) ([]byte, error) {
	switch text := string(task.Payload); text {
	case "":
		return nil, engine.Permanent(errors.New("there are no words"))
	case "spill":
		panic("ink on the page")
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	case "flaky":
		if task.Attempt == 1 {
			return nil, engine.Retryable(errors.New("not today"))
		}
		return []byte("at last"), nil
	default:
		list := strings.Fields(text)
		for i, w := range list {
			task.Progress(float64(i+1)/float64(len(list)), w)
		}
		return []byte(strings.ToUpper(text)), nil
	}
}

func TestYourOwnHandler(t *testing.T) {
	orchestrator, hub := stack(t)
	// The whole of such a program: process.Main("my-engines", version, ":8083", engine.Setup(engine.WithHandler("words", …))).
	e := host(t, "mine", fmt.Sprintf(`
orchestrator: %s
hub: %s
agents:
  - name: writers
    count: 2
    handlers: [words, hash, sleep]
    hash: {algorithm: sha512}
    progress: {to: "topic:task-{task}", every: 100ms}
`, orchestrator.url, hub.url), engine.WithHandler("words", engine.HandlerFunc(words)))

	done := orchestrator.finished(t, orchestrator.submit(t, "own", "words", "one two three", nil))
	require.Equal(t, "completed", done.State)
	require.Equal(t, "ONE TWO THREE", done.Result)
	require.Contains(t, done.Agent, "writers-mine-")

	var page struct {
		Messages []struct {
			From, ID string
			Body     json.RawMessage
			Data     []byte
		}
	}
	var report map[string]any
	ended := func() bool {
		get(t, hub.url+"/v1/messages?of=topic:task-"+done.ID, &page)
		if len(page.Messages) == 0 {
			return false
		}
		last := page.Messages[len(page.Messages)-1]
		report = nil
		require.NoError(t, json.Unmarshal(append(last.Body, last.Data...), &report), "%s %s", last.Body, last.Data)
		return report["note"] == "three"
	}
	require.Eventually(t, ended, patience, glance)
	// The first is sent at once, the last at the end; the one between is thinned, unless the machine stood still.
	require.Contains(t, []int{2, 3}, len(page.Messages))
	last := page.Messages[len(page.Messages)-1]
	require.Equal(t, "mine", last.From)
	require.Equal(t, fmt.Sprint(done.ID, ".1.", len(page.Messages)), last.ID)
	require.Equal(t, done.ID, report["task"])
	require.InDelta(t, 1, report["fraction"], 0)

	require.Len(t, orchestrator.finished(t, orchestrator.submit(t, "own", "hash", "x", nil)).Result, 128)
	require.Equal(t, "10ms", orchestrator.finished(t, orchestrator.submit(t, "own", "sleep", "10ms", nil)).Result)

	final := orchestrator.finished(t, orchestrator.submit(t, "own", "words", "", nil))
	require.Equal(t, "dead", final.State)
	require.Equal(t, 1, final.Attempt, "no retry mends it")
	require.Contains(t, final.Error, "there are no words")

	flaky := orchestrator.finished(t, orchestrator.submit(t, "own", "words", "flaky", nil))
	require.Equal(t, "at last", flaky.Result)
	require.Equal(t, 1, flaky.Failures)

	spilled := orchestrator.finished(t, orchestrator.submit(t, "own", "words", "spill", map[string]any{"max_attempts": 2}))
	require.Equal(t, "dead", spilled.State)
	require.Equal(t, 2, spilled.Failures)
	require.Contains(t, spilled.Error, "ink on the page")

	late := orchestrator.finished(t, orchestrator.submit(t, "own", "words", "wait", map[string]any{"deadline": time.Now().Add(3 * time.Second)}))
	require.Equal(t, "dead", late.State)
	require.Contains(t, late.Error, "deadline has passed")

	require.Equal(t, "STILL HERE", orchestrator.finished(t, orchestrator.submit(t, "own", "words", "still here", nil)).Result, "a panic is one task's end, not the engine's")

	resp, err := http.Get(e.url + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	for _, line := range []string{
		`leanvibe_engine_finished_total{handler="words",outcome="ok"} 3`, `leanvibe_engine_finished_total{handler="words",outcome="panic"} 2`,
		`leanvibe_engine_finished_total{handler="words",outcome="permanent"} 1`, `leanvibe_engine_finished_total{handler="words",outcome="deadline"} 1`,
		`leanvibe_engine_finished_total{handler="words",outcome="retryable"} 1`, `leanvibe_engine_running{handler="words"} 0`,
		`leanvibe_engine_task_duration_seconds_count{handler="words"} 8`,
	} {
		require.Contains(t, string(raw), line)
	}
	e.end(t)
}

func TestDrain(t *testing.T) {
	orchestrator, _ := stack(t)
	name := "drain-" + strings.ToLower(rand.Text()) // what it leaves waiting is no other run's
	begun, release := make(chan string, 2), make(chan struct{})
	gate := engine.HandlerFunc(func(ctx context.Context, task *engine.Task) ([]byte, error) {
		begun <- string(task.Payload)
		may := release
		if string(task.Payload) != "short" {
			may = nil // never
		}
		select {
		case <-may:
			return []byte("done"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	e := host(t, "draining", fmt.Sprintf("orchestrator: %s\ngrace: 8s\nagents: [{capacity: 2, handlers: [%s]}]\n", orchestrator.url, name),
		engine.WithHandler(name, gate))
	short := orchestrator.submit(t, name, name, "short", nil)
	long := orchestrator.submit(t, name, name, "long", map[string]any{"max_attempts": 1})
	next(t, begun)
	next(t, begun)
	queued := orchestrator.submit(t, name, name, "queued", nil)

	e.stop()
	attached := func() bool {
		var out struct {
			Agents []struct {
				ID         string
				AttachedTo string `json:"attached_to"`
			}
		}
		get(t, orchestrator.url+"/v1/agents", &out)
		for _, a := range out.Agents {
			if a.ID == "draining-1" && a.AttachedTo != "" {
				return true
			}
		}
		return false
	}
	require.Eventually(t, func() bool { return !attached() }, patience, glance, "it takes no more")
	require.Equal(t, "running", orchestrator.task(t, short).State, "what is in flight goes on")
	close(release)
	e.end(t)

	require.Equal(t, "done", orchestrator.finished(t, short).Result)
	back := orchestrator.task(t, long)
	require.Equal(t, "waiting", back.State, "given back")
	require.Zero(t, back.Failures, "which costs no attempt")
	left := orchestrator.task(t, queued)
	require.Equal(t, "waiting", left.State)
	require.Zero(t, left.Attempt, "never begun")
	var stats struct {
		Released int `json:"released"`
		Lost     int `json:"lost_attempts"`
	}
	get(t, orchestrator.url+"/v1/stats?queue="+name, &stats)
	require.Equal(t, 1, stats.Released)
	require.Zero(t, stats.Lost)
}
