package assignment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/migrations/app/apptest"
	"github.com/leanvibe/hive/workers/assignment/archive"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workers/redistest"
)

// patience bounds what a test waits for, on a machine that does ten things at once.
const patience = 60 * time.Second

// away is a database that nobody serves.
const away = "postgres://leanvibe@127.0.0.1:1/none"

// world is a Redis without tasks, and a database.
type world struct {
	t   testing.TB
	dsn string
}

func newWorld(t testing.TB, dsn string) *world {
	t.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{redistest.Addr(t)}})
	defer client.Close()
	keys := []string{"{replicas}:seen", "{replicas}:addresses", "{replicas}:urls", "{replicas}:aside", "{replicas}:partitions"}
	for n := range testPartitions {
		for _, name := range []string{"owner", "log", "snap", "snap:new"} {
			keys = append(keys, fmt.Sprintf("{p%d}:%s", n, name))
		}
	}
	for _, key := range append(keys, bodyKeys(t, client)...) {
		require.NoError(t, client.Del(t.Context(), key).Err())
	}
	return &world{t: t, dsn: dsn}
}

const testPartitions = 4

// bodyKeys answers those of the large bodies that Redis keeps.
func bodyKeys(t testing.TB, client redis.Cmdable) []string {
	t.Helper()
	list, err := client.Keys(t.Context(), "{p*}:body:*").Result()
	require.NoError(t, err)
	return list
}

// wires are a replica's way to Redis, which can be cut.
type wires struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (w *wires) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return nil, errors.Join(errors.New("cut"), conn.Close())
	}
	w.conns = append(w.conns, conn)
	return conn, nil
}

func (w *wires) sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for _, c := range w.conns {
		_ = c.Close()
	}
}

// replica is one orchestrator process in the test's own.
type replica struct {
	url     string
	service *service
	redis   *wires
	stop    context.CancelFunc
	done    chan error
}

// start runs an orchestrator.
func (w *world) start(name string, edit ...func(*process.Config, *Config)) *replica {
	w.t.Helper()
	r := &replica{redis: &wires{}, done: make(chan error, 1)}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{redistest.Addr(w.t)}, Dialer: r.redis.dial, MaxRedirects: 1, DialerRetries: 1})
	cfg := process.Config{
		Service: "universal-orchestrator", Version: "test", Instance: name, Listen: "127.0.0.1:0",
		DrainMin: 50 * time.Millisecond, ShutdownMax: 30 * time.Second,
	}
	c := Config{
		Redis: client, Partitions: testPartitions, Term: 2 * time.Second, Limits: partition.DefaultLimits(),
		PeerListen: "127.0.0.1:0", PeerToken: "peer-token-0123456789",
	}
	c.Limits.Tasks, c.Limits.Agents = 100_000, 1000
	c.Limits.Lease = patience // no lease runs out because the machine stands still
	var err error
	c.Store, err = archive.NewStore(w.t.Context(), w.dsn, "", name)
	require.NoError(w.t, err)
	for _, e := range edit {
		e(&cfg, &c)
	}
	p, err := process.New(cfg)
	require.NoError(w.t, err)
	r.service, err = bind(p, c)
	require.NoError(w.t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(w.t.Context()))
	r.stop = stop
	go func() { r.done <- p.Run(ctx) }()
	w.t.Cleanup(func() { stop(); <-r.done; c.Store.Close(); _ = client.Close() })
	addr, err := p.Addr(w.t.Context())
	require.NoError(w.t, err)
	r.url = "http://" + addr.String()
	return r
}

// ready waits until the replica can serve.
func (r *replica) ready(t testing.TB) *replica {
	t.Helper()
	require.Eventually(t, func() bool {
		resp, err := http.Get(r.url + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, patience, 10*time.Millisecond)
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
	base     http.RoundTripper // nil: http.DefaultTransport
	replicas atomic.Pointer[[]*replica]
	next     atomic.Int64
}

func (b *balancer) RoundTrip(req *http.Request) (*http.Response, error) {
	list := *b.replicas.Load()
	r := list[int(b.next.Add(1))%len(list)]
	clone := req.Clone(req.Context())
	clone.URL.Host = strings.TrimPrefix(r.url, "http://")
	if b.base != nil {
		return b.base.RoundTrip(clone)
	}
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
	w := newWorld(t, apptest.Schema(t))
	one, two := w.start("one").ready(t), w.start("two").ready(t)
	var lb balancer
	lb.set(one, two)
	c := client.New("http://proxy", &http.Client{Transport: &lb})
	for i := range 3 {
		runAgent(t, c, client.AgentConfig{ID: fmt.Sprint("agent", i), Capacity: 4, Capabilities: []string{"echo"}, Handle: echo, Grace: time.Second})
	}
	const tasks = 300
	var ids []string
	for i := range tasks {
		s, err := c.Submit(t.Context(), &hivev1.Draft{
			Queue: fmt.Sprint("roll", i%5), Handler: "echo", Capabilities: []string{"echo"}, Payload: fmt.Append(nil, i),
		})
		require.NoError(t, err)
		ids = append(ids, s.Task.GetId())
		switch i {
		case tasks / 3: // replace one by three, as a roll does: new first
			three := w.start("three").ready(t)
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
	stats, err := c.Stats(ctx, "")
	require.NoError(t, err)
	require.EqualValues(t, tasks, stats.GetTotal().GetSubmitted())
	require.EqualValues(t, tasks, stats.GetTotal().GetCompleted())
	require.Zero(t, stats.GetTotal().GetLostAttempts())
	require.Eventually(t, func() bool {
		stats, err := c.Stats(ctx, "")
		return err == nil && stats.GetTotal().GetArchived() == tasks
	}, patience, 20*time.Millisecond, "every finished task reaches PostgreSQL")
}

// A replica that Redis alone does not reach any more loses its partitions; who asks it is
// served by the others meanwhile, and its agents go to them.
func TestReplicas_CutFromRedis(t *testing.T) {
	w := newWorld(t, away)
	one, two := w.start("one").ready(t), w.start("two").ready(t)
	var lb balancer
	lb.set(one, two)
	c := client.New("http://proxy", &http.Client{Transport: &lb})
	for i := range 2 {
		runAgent(t, c, client.AgentConfig{ID: fmt.Sprint("agent", i), Capacity: 2, Handle: echo, Grace: time.Second})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range 40 {
		if i == 10 {
			one.redis.sever()
			lb.set(two) // as the proxy does for a replica that is not ready
		}
		s, err := c.Submit(ctx, &hivev1.Draft{Queue: fmt.Sprint("cut", i%7), Handler: "echo", Payload: []byte("x")})
		require.NoError(t, err)
		task, err := c.Wait(ctx, s.Task.GetId())
		require.NoError(t, err)
		require.Equal(t, hivev1.TaskState_TASK_STATE_COMPLETED, task.GetState())
	}
	require.Eventually(t, func() bool {
		resp, err := http.Get(one.url + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	}, patience, 20*time.Millisecond)
}

// One slot serves every partition in turn.
func TestReplica_OneSlotForAllPartitions(t *testing.T) {
	w := newWorld(t, away)
	c := client.New(w.start("one").ready(t).url, nil)
	var running, most atomic.Int64
	runAgent(t, c, client.AgentConfig{ID: "only", Capacity: 1, Grace: time.Second, Handle: func(_ context.Context, as *hivev1.Assignment) ([]byte, error) {
		now := running.Add(1)
		defer running.Add(-1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		return as.GetPayload(), nil
	}})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var drafts []*hivev1.Draft
	for i := range 200 {
		drafts = append(drafts, &hivev1.Draft{Queue: fmt.Sprint("slot", i%9), Handler: "echo", Payload: []byte("x")})
	}
	out, err := c.SubmitBatch(ctx, drafts)
	require.NoError(t, err)
	for _, o := range out {
		require.Empty(t, o.GetRefused(), o.GetReason())
		task, err := c.Wait(ctx, o.GetTaskId())
		require.NoError(t, err)
		require.Equal(t, hivev1.TaskState_TASK_STATE_COMPLETED, task.GetState())
		require.EqualValues(t, 1, task.GetAttempt())
	}
	require.EqualValues(t, 1, most.Load())
}

func TestReplica_OtherNumberOfPartitions(t *testing.T) {
	w := newWorld(t, away)
	w.start("one").ready(t)
	two := w.start("two", func(_ *process.Config, c *Config) { c.Partitions = 8 })
	err := <-two.done
	two.done <- nil
	require.ErrorContains(t, err, "HIVE_PARTITIONS is 8, but the tasks in Redis are in 4 partitions")
}

func TestAgent_StopGivesBack(t *testing.T) {
	r := newWorld(t, away).start("one").ready(t)
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
	c := client.New(newWorld(t, away).start("one").ready(t).url, nil)
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
	r := newWorld(t, away).start("one").ready(t)
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
		{"archive away", "GET", "/v1/tasks/0193563d-0000-7000-8000-000000000000", "", "", 503, `PostgreSQL cannot be asked`},
		{"id of no partition", "GET", "/v1/tasks/0193563d-0000-7000-8000-00000000ffff", "", "", 404, `"not_found"`},
		{"explain", "GET", "/v1/tasks/" + id + "/explain", "", "", 200, `No agent is attached.`},
		{"list", "GET", "/v1/tasks?queue=q&state=waiting", "", "", 200, id},
		{"list nothing", "GET", "/v1/tasks?state=dead", "", "", 200, `"tasks":[]`},
		{"list wrongly", "GET", "/v1/tasks?state=dad&limit=9", "", "", 400, `must be waiting, running`},
		{"limit", "GET", "/v1/tasks?limit=501", "", "", 400, `must be 1 to 500`},
		{"cursor", "GET", "/v1/tasks?cursor=x", "", "", 400, `is not the cursor of a page`},
		{"re-drive what waits", "POST", "/v1/tasks/" + id + "/redrive", "", "", 200, `"state":"waiting"`},
		{"stats of a queue", "GET", "/v1/stats?queue=q", "", "", 200, `"submitted":1,`},
		{"stats", "GET", "/v1/stats", "", "", 200, `"queues":[{"queue":"q","submitted":1,`},
		{"duplicates", "GET", "/v1/stats", "", "", 200, `"duplicates_answered":1,"duplicates_refused":1,`},
		{"agents", "GET", "/v1/agents", "", "", 200, `"agents":[]`},
		{"cancel", "POST", "/v1/tasks/" + id + "/cancel", "", "", 200, `"state":"cancelled"`},
		{"cancel again", "POST", "/v1/tasks/" + id + "/cancel", "", "", 200, `"state":"cancelled"`},
		{"re-drive what was cancelled", "POST", "/v1/tasks/" + id + "/redrive", "", "", 409, `only a dead letter`},
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
	r := newWorld(t, away).start("one", func(_ *process.Config, c *Config) {
		c.Redis = redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, MaxRedirects: 1})
	})
	code, header, body := call(t, "POST", r.url+"/v1/tasks", "k", `{"queue":"q","handler":"echo"}`)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "1", header.Get("Retry-After"))
	require.Equal(t, "unavailable", body["error"].(map[string]any)["code"])
	code, _, body = call(t, "GET", r.url+"/readyz", "", "")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "failing", body["status"])
}
