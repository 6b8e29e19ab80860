package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/port"
	"github.com/leanvibe/hive/workflows/runbook"
)

const upstream, other = "universal-orchestrator", "communication-hub"

// stand is a project with the stack's own nginx.conf on a free port, and replicas
// that say who they are.
type stand struct {
	t        *testing.T
	hand     Hand
	in       runbook.ProxyInput
	replicas []string
}

// newStand lays out the project; newer says whether the nginx that is to read it
// knows keepalive_min_timeout.
func newStand(t *testing.T, newer bool, logDir string) *stand {
	t.Helper()
	dir := t.TempDir()
	at := port.Reserve(t)
	raw, err := os.ReadFile("../../deploy/production/nginx/nginx.conf")
	require.NoError(t, err)
	conf := string(raw)
	if logDir == "" {
		logDir = filepath.Join(dir, "logs", "nginx")
	}
	for _, edit := range [][2]string{
		{`listen 80;`, fmt.Sprintf("listen 127.0.0.1:%d;", at)},
		{`\n *listen 443 ssl;`, ""}, {`\n *ssl_[^\n]*`, ""}, {`/var/log/hive`, logDir},
		{`listen 8084 http2;`, fmt.Sprintf("listen 127.0.0.1:%d http2;", port.Reserve(t))},
		{`listen 8088;`, fmt.Sprintf("listen 127.0.0.1:%d;", port.Reserve(t))},
		{`worker_processes auto;`, "worker_processes 2;"},
	} {
		pattern := regexp.MustCompile(edit[0])
		require.Regexp(t, pattern, conf, "the stack's nginx.conf has changed: change this test too")
		conf = pattern.ReplaceAllString(conf, edit[1])
	}
	if !newer {
		conf = strings.Replace(conf, "keepalive_min_timeout 2s;", "", 1)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o644))
	s := &stand{t: t, hand: Hand{ProjectDir: dir}, in: runbook.ProxyInput{
		Project: filepath.Base(filepath.Dir(dir)), Proxy: runbook.ProxyPolicy{
			Service: "nginx", URL: fmt.Sprintf("http://127.0.0.1:%d", at), AddressDir: "hive.d", AccessLogDir: "logs/nginx",
			Quiet: runbook.Duration(time.Second),
		},
	}}
	for range 3 {
		s.replicas = append(s.replicas, s.replica())
	}
	return s
}

// replica starts a server that answers with its own address.
func (s *stand) replica() string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/tasks/fail" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprint(w, r.Context().Value(http.LocalAddrContextKey))
		if strings.HasPrefix(r.URL.Path, "/hive.v1.") { // a stream: it lasts as long as its client
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}))
	s.t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func (s *stand) edit(text string, with string) {
	s.t.Helper()
	path := filepath.Join(s.hand.ProjectDir, "nginx.conf")
	raw, err := os.ReadFile(path)
	require.NoError(s.t, err)
	require.Contains(s.t, string(raw), text)
	require.NoError(s.t, os.WriteFile(path, []byte(strings.Replace(string(raw), text, with, 1)), 0o644))
}

func (s *stand) seed(addresses ...string) {
	s.t.Helper()
	changed, err := s.hand.Seed(s.t.Context(), s.in, map[string][]string{upstream: addresses, other: nil})
	require.NoError(s.t, err)
	require.True(s.t, changed)
}

func (s *stand) set(run string, addresses ...string) (runbook.ProxyChange, error) {
	return s.hand.SetUpstream(s.t.Context(), runbook.SetUpstreamInput{ProxyInput: s.in, Upstream: upstream, Addresses: addresses, Run: run})
}

// answers asks through the proxy and counts who answered.
func (s *stand) answers(path string, n int) map[string]int {
	s.t.Helper()
	out := map[string]int{}
	for range n {
		res, err := http.Get(s.in.Proxy.URL + path)
		require.NoError(s.t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(s.t, err)
		require.NoError(s.t, res.Body.Close())
		out[string(body)]++
	}
	return out
}

// logged waits until the log has so many lines of a path: nginx answers first, and writes then.
func (s *stand) logged(path string, lines int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		n := 0
		files, err := filepath.Glob(filepath.Join(s.hand.ProjectDir, s.in.Proxy.AccessLogDir, "access-*.log"))
		require.NoError(s.t, err)
		for _, file := range files {
			raw, err := os.ReadFile(file)
			require.NoError(s.t, err)
			n += strings.Count(string(raw), `"uri":"`+path)
		}
		return n == lines
	}, patience, 20*time.Millisecond)
}

func (s *stand) served() int {
	s.t.Helper()
	n, err := s.hand.served(s.t.Context(), s.in.Proxy)
	require.NoError(s.t, err)
	return n
}

// files are the bytes of the address directory, by name.
func (s *stand) files() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	dir := filepath.Join(s.hand.ProjectDir, s.in.Proxy.AddressDir)
	entries, err := os.ReadDir(dir)
	require.NoError(s.t, err)
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(s.t, err)
		out[e.Name()] = string(raw)
	}
	return out
}

// process is the engine's part played by this machine: the "container" is an nginx
// process, and a command in it runs here, on that nginx's configuration.
type process struct {
	t      *testing.T
	dir    string
	master *exec.Cmd

	mu    sync.Mutex
	state string
	execs [][]string
	// deaf: commands are told, and die before they do anything, as when the worker
	// is killed at that moment.
	deaf  string
	codes map[string]int
}

var errKilled = errors.New("killed here")

// withProcess starts nginx on the stand, after its files have been seeded.
func withProcess(t *testing.T) (*stand, *process) {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Skip("no nginx on this machine: apt-get install nginx-light")
	}
	s := newStand(t, false, "")
	if os.Geteuid() == 0 {
		s.edit("pid /run/nginx.pid;", "pid nginx.pid; user root;")
	} else {
		s.edit("pid /run/nginx.pid;", "pid nginx.pid;")
	}
	p := &process{t: t, dir: s.hand.ProjectDir, state: container.StateCreated, codes: map[string]int{}}
	s.hand.API = p
	s.seed(s.replicas[0])
	p.start()
	require.Eventually(t, func() bool { _, err := s.hand.served(t.Context(), s.in.Proxy); return err == nil }, patience, 20*time.Millisecond)
	return s, p
}

func (p *process) args(more ...string) []string {
	return append([]string{"-p", p.dir, "-c", filepath.Join(p.dir, "nginx.conf")}, more...)
}

func (p *process) start() {
	p.master = exec.Command("nginx", p.args("-g", "daemon off;")...)
	var said strings.Builder
	p.master.Stderr = &said
	require.NoError(p.t, p.master.Start())
	p.state = container.StateRunning
	p.t.Cleanup(func() {
		p.stop()
		if p.t.Failed() {
			p.t.Log(said.String())
		}
	})
}

func (p *process) stop() {
	if p.state == container.StateRunning {
		p.state = container.StateExited
		_ = p.master.Process.Signal(syscall.SIGTERM)
		_ = p.master.Wait()
	}
}

func (p *process) ContainerList(context.Context, container.ListOptions) ([]container.Summary, error) {
	return []container.Summary{{ID: "nginx", State: p.state}}, nil
}

func (p *process) ContainerExecCreate(_ context.Context, _ string, o container.ExecOptions) (container.ExecCreateResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.execs = append(p.execs, o.Cmd)
	return container.ExecCreateResponse{ID: fmt.Sprint(len(p.execs) - 1)}, nil
}

func (p *process) command(id string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var n int
	_, err := fmt.Sscan(id, &n)
	require.NoError(p.t, err)
	return p.execs[n]
}

func (p *process) ContainerExecAttach(_ context.Context, id string, _ container.ExecAttachOptions) (types.HijackedResponse, error) {
	command := p.command(id)
	require.Equal(p.t, []string{"timeout", execInside}, command[:2])
	if p.deaf != "" && strings.Contains(strings.Join(command, " "), p.deaf) {
		return types.HijackedResponse{}, errKilled
	}
	if command[2] == "nginx" {
		command = append(append(command[:2:2], "nginx"), p.args(command[3:]...)...)
	} else { // the processes of the container, which here are one nginx's among many
		command = append(command[:2:2], "ps", "-ww", "-o", "args=", "--pid", fmt.Sprint(p.master.Process.Pid), "--ppid", fmt.Sprint(p.master.Process.Pid))
	}
	var out, errs bytes.Buffer
	run := exec.Command(command[0], command[1:]...)
	run.Stdout, run.Stderr = &out, &errs
	_ = run.Run()
	p.mu.Lock()
	p.codes[id] = run.ProcessState.ExitCode()
	p.mu.Unlock()
	var framed bytes.Buffer
	_, _ = stdcopy.NewStdWriter(&framed, stdcopy.Stdout).Write(out.Bytes())
	_, _ = stdcopy.NewStdWriter(&framed, stdcopy.Stderr).Write(errs.Bytes())
	here, _ := net.Pipe()
	return types.HijackedResponse{Conn: here, Reader: bufio.NewReader(&framed)}, nil
}

func (p *process) ContainerExecInspect(_ context.Context, id string) (container.ExecInspect, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return container.ExecInspect{ExitCode: p.codes[id]}, nil
}

func TestSetUpstreamMovesTraffic(t *testing.T) {
	s, p := withProcess(t)
	a, b := s.replicas[0], s.replicas[1]
	require.Equal(t, map[string]int{a: 4}, s.answers("/v1/tasks", 4))

	got, err := s.set("run/1", b, a)
	require.NoError(t, err)
	require.Equal(t, runbook.ProxyChange{Generation: 2, Previous: []string{a}, Changed: true}, got)
	require.Len(t, s.answers("/v1/tasks", 8), 2)

	got, err = s.set("run/1", b)
	require.NoError(t, err)
	require.Equal(t, runbook.ProxyChange{Generation: 3, Previous: sorted(a, b), Changed: true}, got)
	require.Equal(t, map[string]int{b: 8}, s.answers("/v1/tasks", 8))
	commands := len(p.execs)

	got, err = s.set("run/2", b)
	require.NoError(t, err)
	require.Equal(t, runbook.ProxyChange{Generation: 3, Previous: []string{b}}, got, "served already")
	require.Len(t, p.execs, commands, "and so nothing was told to nginx")
	require.Equal(t, "run/1", s.hand.lastWord(upstream).Run)
	mine, err := s.hand.readState("run/2", upstream)
	require.NoError(t, err)
	require.Equal(t, []string{b}, mine.In)

	seen, err := s.hand.Observe(t.Context(), s.in)
	require.NoError(t, err)
	require.Equal(t, 3, seen.Generation)
	require.Equal(t, map[string][]string{upstream: {b}, other: {}}, seen.Upstreams)
	require.Regexp(t, `^\d+\.\d+\.\d+$`, seen.Version)

	for name, in := range map[string]struct {
		upstream string
		set      []string
		kind     runbook.Kind
	}{
		"no address": {upstream, nil, runbook.Unsafe}, "a name": {upstream, []string{"hub:80"}, runbook.Refused},
		"no such upstream": {"hub", []string{a}, runbook.Missing},
	} {
		_, err := s.hand.SetUpstream(t.Context(), runbook.SetUpstreamInput{ProxyInput: s.in, Upstream: in.upstream, Addresses: in.set, Run: "run/3"})
		require.Equal(t, in.kind, runbook.KindOf(err), name)
	}
	require.Equal(t, 3, s.served())
}

// The log that the hand reads is the one that the stack's own nginx.conf writes.
func TestLogOfTheRealNginx(t *testing.T) {
	s, _ := withProcess(t)
	started := time.Now().Add(-time.Millisecond)
	a, b := s.replicas[0], s.replicas[1]
	_, err := s.set("run/1", a, b)
	require.NoError(t, err)
	s.answers("/v1/tasks", 20)
	s.answers("/v1/tasks/fail", 4)
	s.logged("/v1/tasks", 24)
	in := runbook.WatchTrafficInput{ProxyInput: s.in, Upstream: upstream, Address: b, Since: started, Requests: 5, Deadline: runbook.Duration(patience)}
	seen, err := s.hand.AwaitTraffic(t.Context(), in)
	require.NoError(t, err)
	require.True(t, seen.Met)
	w, err := s.hand.MeasureWindow(t.Context(), runbook.MeasureWindowInput{
		ProxyInput: s.in, Upstream: upstream, Address: a, Others: []string{b}, Since: started, Window: runbook.Duration(time.Since(started) + time.Second),
		Rolling: runbook.RollingPolicy{MinRequests: 50},
	})
	require.NoError(t, err)
	require.Equal(t, 24, w.Address.Requests+w.Others.Requests)
	require.Equal(t, 4, w.Address.Failed+w.Others.Failed)
	require.Positive(t, w.Address.Requests)

	traffic, err := s.hand.MeasureTraffic(t.Context(), runbook.MeasureTrafficInput{ProxyInput: s.in, Started: started, Finished: time.Now()})
	require.NoError(t, err)
	require.EqualValues(t, 24, traffic.Requests, "the hand's own questions are no traffic")
	require.EqualValues(t, 4, traffic.Failed)
	require.NotNil(t, traffic.LongestGapMS)
	require.NotNil(t, traffic.P99DuringMS)

	_, err = s.set("run/1", a)
	require.NoError(t, err)
	in.Since, in.Quiet = time.Now(), runbook.Duration(500*time.Millisecond)
	s.answers("/v1/tasks", 5)
	seen, err = s.hand.AwaitQuiet(t.Context(), in)
	require.NoError(t, err)
	require.True(t, seen.Met)
	require.Zero(t, seen.Requests)
}

func TestSetUpstreamRefusedLeavesEverythingAsItWas(t *testing.T) {
	s, _ := withProcess(t)
	_, err := s.set("run/1", s.replicas[0], s.replicas[1])
	require.NoError(t, err)
	before, word := s.files(), s.hand.lastWord(upstream)
	s.edit("client_max_body_size 1m;", "client_max_body_size many;")

	_, err = s.set("run/1", s.replicas[2])
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	require.ErrorContains(t, err, `"client_max_body_size" directive invalid value`)
	require.Equal(t, before, s.files())
	require.Equal(t, word, s.hand.lastWord(upstream), "and so is what the run calls in")
	_, err = s.set("run/2", s.replicas[2])
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	none, err := s.hand.readState("run/2", upstream)
	require.NoError(t, err)
	require.Nil(t, none)
	require.Equal(t, 2, s.served())

	s.edit("client_max_body_size many;", "client_max_body_size 1m;")
	got, err := s.set("run/1", s.replicas[2])
	require.NoError(t, err)
	require.Equal(t, sorted(s.replicas[0], s.replicas[1]), got.Previous)
}

// A worker that is killed after the reload and before its answer has changed the set.
func TestSetUpstreamAdoptsItsOwn(t *testing.T) {
	s, p := withProcess(t)
	a, b := s.replicas[0], s.replicas[1]
	_, err := s.set("run/1", b)
	require.NoError(t, err)
	all, err := s.hand.readPages(s.in.Proxy.AddressDir)
	require.NoError(t, err)
	mine, err := s.hand.readState("run/1", upstream)
	require.NoError(t, err)
	in := runbook.SetUpstreamInput{ProxyInput: s.in, Upstream: upstream, Addresses: []string{b}, Run: "run/1"}
	commands := len(p.execs)
	for again, want := range map[bool]runbook.ProxyChange{
		true:  {Generation: 2, Previous: []string{a}, Changed: true},
		false: {Generation: 2, Previous: []string{b}},
	} {
		got, err := s.hand.foundServed(in, all.Upstreams[upstream], mine, again)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.Len(t, p.execs, commands)
}

// A worker that is killed between the write and the reload leaves a page that looks
// right and is not in force.
func TestSetUpstreamCompletesAKilledPredecessor(t *testing.T) {
	for _, moment := range []string{"nginx -t", "nginx -s reload"} {
		t.Run(moment, func(t *testing.T) {
			s, p := withProcess(t)
			a, b, c := s.replicas[0], s.replicas[1], s.replicas[2]
			p.deaf = moment
			_, err := s.set("run/1", b)
			require.ErrorContains(t, err, errKilled.Error())
			require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
			require.Equal(t, map[string]int{a: 4}, s.answers("/v1/tasks", 4), "not in force")
			p.deaf = ""

			got, err := s.set("run/1", b)
			require.NoError(t, err)
			require.True(t, got.Changed)
			require.Equal(t, []string{a}, got.Previous, "what was in force before the predecessor")
			require.Equal(t, map[string]int{b: 4}, s.answers("/v1/tasks", 4))

			p.deaf = moment
			_, err = s.set("run/1", c)
			require.Error(t, err)
			p.deaf = ""
			s.edit("client_max_body_size 1m;", "client_max_body_size many;")
			_, err = s.set("run/1", a)
			require.Equal(t, runbook.Refused, runbook.KindOf(err))
			s.edit("client_max_body_size many;", "client_max_body_size 1m;")
			require.Equal(t, []string{b}, parsePage([]byte(s.files()[upstream+suffix])).Addresses, "back to what was in force, not to what was half-done")
		})
	}
}

func TestReconcile(t *testing.T) {
	s, p := withProcess(t)
	a, b, c := s.replicas[0], s.replicas[1], s.replicas[2]
	_, err := s.set("run/1", a, b)
	require.NoError(t, err)
	reconcile := func(live ...string) map[string]runbook.ProxyChange {
		t.Helper()
		got, err := s.hand.Reconcile(t.Context(), s.in, map[string][]string{upstream: live})
		require.NoError(t, err)
		return got
	}
	require.Empty(t, reconcile(a, b))
	require.Empty(t, reconcile(), "the engine may only not know yet")
	require.Equal(t, map[string]runbook.ProxyChange{upstream: {Generation: 3, Previous: sorted(a, b), Changed: true}}, reconcile(b, c))
	require.Equal(t, map[string]int{b: 6}, s.answers("/v1/tasks", 6), "the dead one is out; the one that no run calls in is not in")
	require.Len(t, reconcile(a, b, c), 1)
	require.Len(t, s.answers("/v1/tasks", 8), 2, "the dead one is back")

	p.deaf = "reload"
	_, err = s.set("run/2", c)
	require.Error(t, err)
	p.deaf = ""
	require.Len(t, reconcile(a, b, c), 1, "what a killed run wrote and never loaded")
	require.Equal(t, map[string]int{c: 4}, s.answers("/v1/tasks", 4), "run/2 meant c alone")
	require.Empty(t, reconcile(a, b, c))
	require.Len(t, reconcile(a, b), 1, "nothing would be left of what is routed to")
	require.Len(t, s.answers("/v1/tasks", 8), 2, "what lives is tried")
}

func TestSeed(t *testing.T) {
	s, p := withProcess(t)
	a, b, c := s.replicas[0], s.replicas[1], s.replicas[2]
	seed := func(addresses ...string) bool {
		t.Helper()
		changed, err := s.hand.Seed(t.Context(), s.in, map[string][]string{upstream: addresses, other: nil})
		require.NoError(t, err)
		return changed
	}
	info, err := os.Stat(filepath.Join(s.hand.ProjectDir, "logs", "nginx"))
	require.NoError(t, err)
	require.Equal(t, os.ModeSticky|0o777, info.Mode()&(os.ModePerm|os.ModeSticky), "workers of another user write there")
	require.Equal(t, []string{a}, s.hand.lastWord(upstream).In)
	require.False(t, seed(a))
	require.False(t, seed(a, b), "one of them is routed to: the rest is a run's affair")
	require.False(t, seed(), "none runs: what is there stays")
	require.True(t, seed(b, c), "all addresses are others, as after a reboot")
	require.Len(t, s.answers("/v1/tasks", 6), 2)
	require.Equal(t, sorted(b, c), s.hand.lastWord(upstream).In)
	res, err := http.Get(s.in.Proxy.URL + "/v1/hub/connect")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusBadGateway, res.StatusCode, "an upstream of nobody is a valid one")

	p.stop()
	_, err = s.set("run/1", a)
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
	require.ErrorContains(t, err, "is exited, not running")
	require.True(t, seed(a), "the files alone, where nginx does not run")
	require.Equal(t, []string{a}, parsePage([]byte(s.files()[upstream+suffix])).Addresses)
}

func TestServedNeedsTheHeader(t *testing.T) {
	s := newStand(t, false, "")
	s.in.Proxy.URL = "http://" + s.replicas[0]
	_, err := s.hand.served(t.Context(), s.in.Proxy)
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	require.ErrorContains(t, err, generationHeader)
	s.in.Proxy.URL = fmt.Sprintf("http://127.0.0.1:%d", port.Reserve(t))
	_, err = s.hand.served(t.Context(), s.in.Proxy)
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
}
