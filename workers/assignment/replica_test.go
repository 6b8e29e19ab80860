package assignment

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/migrations/app/apptest"
	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workers/process/rediscluster"
)

const patience = 20 * time.Second

// replica is one orchestrator process in the test's own.
type replica struct {
	url  string
	stop context.CancelFunc
	done chan error
}

// startReplica runs an orchestrator on a machine's partition.
func startReplica(t *testing.T, name string, like *Machine, dsn string) *replica {
	t.Helper()
	p, err := process.New(process.Config{
		Service: "universal-orchestrator", Version: "test", Instance: name, Listen: "127.0.0.1:0",
		DrainMin: 50 * time.Millisecond, ShutdownMax: 10 * time.Second,
	})
	require.NoError(t, err)
	pool, err := NewPool(t.Context(), dsn, "", name)
	require.NoError(t, err)
	machine := NewMachine(like.redis, like.lease)
	machine.prefix = like.prefix
	bind(p, machine, &Archive{pool: pool, machine: machine, log: p.Log, instance: name})

	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &replica{stop: stop, done: make(chan error, 1)}
	go func() { r.done <- p.Run(ctx) }()
	t.Cleanup(func() { stop(); <-r.done; pool.Close() })
	addr, err := p.Addr(t.Context())
	require.NoError(t, err)
	r.url = "http://" + addr.String()
	return r
}

// end stops the replica and asserts a clean end.
func (r *replica) end(t *testing.T) {
	t.Helper()
	r.stop()
	err := <-r.done
	r.done <- nil
	require.NoError(t, err)
}

// balancer sends each request to the next replica, as the proxy does, and to
// another when one refuses.
type balancer struct {
	replicas atomic.Pointer[[]*replica]
	next     atomic.Int64
}

func (b *balancer) RoundTrip(req *http.Request) (*http.Response, error) {
	list := *b.replicas.Load()
	r := list[int(b.next.Add(1))%len(list)]
	clone := req.Clone(req.Context())
	clone.URL.Host = strings.TrimPrefix(r.url, "http://")
	return http.DefaultTransport.RoundTrip(clone)
}

func (b *balancer) set(list ...*replica) { b.replicas.Store(&list) }

func call(t *testing.T, method, url, key, body string) (int, http.Header, map[string]any) {
	t.Helper()
	code, header, raw := callRaw(t, method, url, key, body)
	var out map[string]any
	require.NoError(t, json.Unmarshal([]byte(raw), &out), "%s", raw)
	return code, header, out
}

func callRaw(t *testing.T, method, url, key, body string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, string(raw)
}

// runAgent runs an agent until the returned stop is called.
func runAgent(t *testing.T, c *client.Client, cfg client.AgentConfig) (*client.Agent, func()) {
	t.Helper()
	agent := c.NewAgent(cfg)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx) }()
	stop := func() {
		cancel()
		require.NoError(t, <-done)
		done <- nil
	}
	t.Cleanup(stop)
	return agent, stop
}

func echo(_ context.Context, as *hivev1.Assignment) ([]byte, error) { return as.GetPayload(), nil }

func TestReplicas_RollLosesNothing(t *testing.T) {
	m := newTestMachine(t, DefaultLease)
	dsn := apptest.Schema(t)
	one, two := startReplica(t, "one", m, dsn), startReplica(t, "two", m, dsn)
	var lb balancer
	lb.set(one, two)
	c := client.New("http://proxy", &http.Client{Transport: &lb})
	for i := range 3 {
		runAgent(t, c, client.AgentConfig{ID: fmt.Sprint("agent", i), Capacity: 4, Capabilities: []string{"echo"}, Handle: echo, Grace: time.Second})
	}
	const tasks = 300
	var ids []string
	for i := range tasks {
		s, err := c.Submit(t.Context(), &hivev1.Draft{Queue: "roll", Handler: "echo", Capabilities: []string{"echo"}, Payload: fmt.Append(nil, i)})
		require.NoError(t, err)
		ids = append(ids, s.Task.GetId())
		switch i {
		case tasks / 3: // replace one by three, as a roll does: new first
			three := startReplica(t, "three", m, dsn)
			lb.set(two, three)
			one.end(t)
			one = three
		case 2 * tasks / 3: // the balancer still knows the replica that drains
			two.stop()
		}
	}
	lb.set(one)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i, id := range ids {
		task, err := c.Wait(ctx, id)
		require.NoError(t, err)
		require.Equal(t, hivev1.TaskState_TASK_STATE_COMPLETED, task.GetState())
		require.Equal(t, fmt.Sprint(i), string(task.GetResult()))
	}
	stats, err := c.Stats(ctx, "roll")
	require.NoError(t, err)
	require.EqualValues(t, tasks, stats.GetTotal().GetSubmitted())
	require.EqualValues(t, tasks, stats.GetTotal().GetCompleted())
	require.Zero(t, stats.GetTotal().GetLostAttempts())

	require.Eventually(t, func() bool {
		stats, err := c.Stats(ctx, "roll")
		return err == nil && stats.GetTotal().GetArchived() == tasks
	}, patience, 20*time.Millisecond, "every finished task reaches PostgreSQL")
	require.NoError(t, m.redis.Del(ctx, m.prefix+"task:"+ids[7]).Err())
	task, err := c.Get(ctx, ids[7])
	require.NoError(t, err)
	require.Equal(t, "7", string(task.GetResult()), "a task that Redis let go is answered from the archive")
}

func TestAgent_StopGivesBack(t *testing.T) {
	m := newTestMachine(t, DefaultLease)
	r := startReplica(t, "one", m, "postgres://leanvibe@127.0.0.1:1/none")
	c := client.New(r.url, nil)
	stuck := make(chan struct{})
	_, stop := runAgent(t, c, client.AgentConfig{ID: "stuck", Capacity: 1, Grace: 10 * time.Millisecond,
		Handle: func(ctx context.Context, _ *hivev1.Assignment) ([]byte, error) {
			close(stuck)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
	s, err := c.Submit(t.Context(), &hivev1.Draft{Queue: "q", Handler: "echo", MaxAttempts: 1, Payload: []byte("x")})
	require.NoError(t, err)
	<-stuck
	stop()
	runAgent(t, c, client.AgentConfig{ID: "sound", Capacity: 1, Handle: echo, Grace: time.Second})
	task, err := c.Wait(t.Context(), s.Task.GetId())
	require.NoError(t, err)
	require.Equal(t, "sound", task.GetAgent())
	require.EqualValues(t, 2, task.GetAttempt())
	require.Zero(t, task.GetFailures(), "giving back costs no attempt")
}

func TestAgent_PauseAndResume(t *testing.T) {
	m := newTestMachine(t, DefaultLease)
	c := client.New(startReplica(t, "one", m, "postgres://leanvibe@127.0.0.1:1/none").url, nil)
	agent, _ := runAgent(t, c, client.AgentConfig{ID: "a", Capacity: 1, Handle: echo, Grace: time.Second})
	require.Eventually(t, func() bool { return agent.Status().Attached }, patience, time.Millisecond)
	agent.Pause()
	require.Eventually(t, func() bool { return !agent.Status().Attached }, patience, time.Millisecond)
	s, err := c.Submit(t.Context(), &hivev1.Draft{Queue: "q", Handler: "echo"})
	require.NoError(t, err)
	task, err := c.Get(t.Context(), s.Task.GetId())
	require.NoError(t, err)
	require.Equal(t, hivev1.TaskState_TASK_STATE_WAITING, task.GetState())
	agent.Resume()
	_, err = c.Wait(t.Context(), s.Task.GetId())
	require.NoError(t, err)
}

func TestREST(t *testing.T) {
	m := newTestMachine(t, DefaultLease)
	r := startReplica(t, "one", m, "postgres://leanvibe@127.0.0.1:1/none")
	code, header, body := call(t, "POST", r.url+"/v1/tasks", "k1", `{"queue":"q","handler":"echo","payload":"hi"}`)
	require.Equal(t, http.StatusCreated, code)
	require.Equal(t, "one", header.Get("X-Hive-Instance"))
	require.Equal(t, "test", header.Get("X-Hive-Version"))
	require.Equal(t, false, body["duplicate"])
	id := body["task"].(map[string]any)["id"].(string)
	require.Equal(t, "/v1/tasks/"+id, header.Get("Location"))

	tests := []struct {
		name, method, path, key, body string
		code                          int
		want                          string
	}{
		{"same key, same body", "POST", "/v1/tasks", "k1", `{"queue":"q","handler":"echo","payload":"hi"}`, 200, `"duplicate":true`},
		{"same key, other body", "POST", "/v1/tasks", "k1", `{"queue":"q","handler":"echo","payload":"ho"}`, 409, `"already_exists"`},
		{"wrong fields", "POST", "/v1/tasks", "", `{"queue":"Q!","handler":"echo","priority":12,"capabilities":["ok","not ok"]}`, 400, `capabilities[1]`},
		{"unknown field", "POST", "/v1/tasks", "", `{"que":"q"}`, 400, `unknown field`},
		{"wrong type", "POST", "/v1/tasks", "", `{"queue":"q","priority":"high"}`, 400, `"priority","problem":"must be int, is string"`},
		{"no JSON", "POST", "/v1/tasks", "", `queue=q`, 400, `is not a task in JSON`},
		{"key with blanks", "POST", "/v1/tasks", "a b", `{"queue":"q","handler":"echo"}`, 400, `idempotency_key`},
		{"deadline passed", "POST", "/v1/tasks", "", `{"queue":"q","handler":"echo","deadline":"2020-01-01T00:00:00Z"}`, 400, `has passed`},
		{"payload too large", "POST", "/v1/tasks", "", `{"queue":"q","handler":"echo","payload":"` + strings.Repeat("x", MaxPayload+1) + `"}`, 413, `has 262145 bytes, at most 262144`},
		{"body too large", "POST", "/v1/tasks", "", `{"queue":"q","handler":"echo","payload":"` + strings.Repeat("x", maxBody) + `"}`, 413, `over 2097152 bytes`},
		{"read", "GET", "/v1/tasks/" + id, "", "", 200, `"state":"waiting"`},
		{"wait in vain", "GET", "/v1/tasks/" + id + "/wait?timeout=20ms", "", "", 200, `"finished":false`},
		{"wait wrongly", "GET", "/v1/tasks/" + id + "/wait?timeout=1h", "", "", 400, `timeout`},
		{"no id", "GET", "/v1/tasks/nonsense", "", "", 404, `"not_found"`},
		{"archive away", "GET", "/v1/tasks/0193563d-0000-7000-8000-000000000000", "", "", 503, `archive cannot be asked`},
		{"stats of a queue", "GET", "/v1/stats?queue=q", "", "", 200, `"submitted":1,`},
		{"stats", "GET", "/v1/stats", "", "", 200, `"queues":[{"queue":"q","submitted":1,"duplicates_answered":1,"duplicates_refused":1,`},
		{"agents", "GET", "/v1/agents", "", "", 200, `"agents":[]`},
		{"health", "GET", "/health", "", "", 200, `"status":"degraded"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, header, raw := callRaw(t, test.method, r.url+test.path, test.key, test.body)
			require.Equal(t, test.code, code, raw)
			require.Contains(t, raw, test.want)
			if code == http.StatusServiceUnavailable {
				require.Equal(t, "1", header.Get("Retry-After"))
			}
		})
	}
}

func TestREST_RedisAway(t *testing.T) {
	gone := NewMachine(rediscluster.New([]string{"127.0.0.1:1"}, ""), DefaultLease)
	r := startReplica(t, "one", gone, "postgres://leanvibe@127.0.0.1:1/none")
	code, header, body := call(t, "POST", r.url+"/v1/tasks", "k", `{"queue":"q","handler":"echo"}`)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "1", header.Get("Retry-After"))
	require.Equal(t, "unavailable", body["error"].(map[string]any)["code"])
	code, _, body = call(t, "GET", r.url+"/readyz", "", "")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "failing", body["status"])
}
