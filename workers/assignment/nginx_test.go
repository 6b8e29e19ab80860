package assignment

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	"github.com/leanvibe/hive/tests/port"
)

// nginx is the stack's own configuration on this machine's nginx.
type nginx struct {
	t             *testing.T
	dir           string
	port, streams int
	cmd           *exec.Cmd
}

func startNginx(t *testing.T, replicas ...*replica) *nginx {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Fatal("this test needs nginx: apt-get install nginx (make servers does it)")
	}
	raw, err := os.ReadFile("../../deploy/production/nginx/nginx.conf")
	require.NoError(t, err)
	n := &nginx{t: t, dir: t.TempDir(), port: port.Reserve(t), streams: port.Reserve(t)}
	conf := string(raw)
	for _, edit := range [][2]string{
		{`listen 80;`, fmt.Sprintf("listen 127.0.0.1:%d;", n.port)},
		{`listen 8084 http2;`, fmt.Sprintf("listen 127.0.0.1:%d http2;", n.streams)},
		{`listen 8088;`, fmt.Sprintf("listen 127.0.0.1:%d;", port.Reserve(t))},
		{`\n *listen 443 ssl;`, ""}, {`\n *ssl_[^\n]*`, ""}, {`keepalive_min_timeout 2s;`, ""}, // newer than Debian's
		{`/run/nginx.pid`, filepath.Join(n.dir, "nginx.pid")}, {`/var/log/hive`, n.dir}, {`worker_processes auto;`, "worker_processes 1;"},
	} {
		pattern := regexp.MustCompile(edit[0])
		require.Regexp(t, pattern, conf, "the stack's nginx.conf has changed: change this test too")
		conf = pattern.ReplaceAllString(conf, edit[1])
	}
	require.NoError(t, os.Mkdir(filepath.Join(n.dir, "hive.d"), 0o755))
	n.write("nginx.conf", conf)
	n.write("hive.d/generation.conf", "map \"\" $hive_generation { default 1; }\n")
	n.write("hive.d/communication-hub.conf", "server 127.0.0.1:9 down;\n")
	n.upstream(replicas...)
	n.cmd = exec.Command("nginx", "-p", n.dir, "-c", filepath.Join(n.dir, "nginx.conf"), "-g", "daemon off;")
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said strings.Builder
	n.cmd.Stderr = &said
	require.NoError(t, n.cmd.Start())
	t.Cleanup(func() {
		_ = n.cmd.Process.Signal(syscall.SIGTERM)
		_ = n.cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	require.Eventually(t, func() bool {
		resp, err := http.Get(n.url() + "/health")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, patience, 20*time.Millisecond)
	return n
}

func (n *nginx) write(name, text string) {
	n.t.Helper()
	path := filepath.Join(n.dir, name)
	require.NoError(n.t, os.WriteFile(path+".new", []byte(text), 0o644))
	require.NoError(n.t, os.Rename(path+".new", path)) // an earlier reload may just be reading it
}

// upstream writes the address file that both ports read.
func (n *nginx) upstream(replicas ...*replica) {
	n.t.Helper()
	var b strings.Builder
	for _, r := range replicas {
		fmt.Fprintf(&b, "server %s max_fails=0;\n", strings.TrimPrefix(r.url, "http://"))
	}
	n.write("hive.d/universal-orchestrator.conf", b.String())
}

func (n *nginx) reload() {
	n.t.Helper()
	require.NoError(n.t, n.cmd.Process.Signal(syscall.SIGHUP))
}

func (n *nginx) url() string { return fmt.Sprintf("http://127.0.0.1:%d", n.port) }

// Streams through the shipped nginx while a replica is replaced as a roll does it.
func TestStreams_ThroughNginx(t *testing.T) {
	w := newWorld(t, away)
	one, two := w.start("one").ready(t), w.start("two").ready(t)
	n := startNginx(t, one, two)
	c := client.New(n.url(), nil, client.WithStreamsAt(fmt.Sprintf("http://127.0.0.1:%d", n.streams)))
	seen := &counted{times: map[string]int{}}
	runFleet(t, c, 4, client.AgentConfig{ID: "agent", Capacity: 5, Handle: seen.execute, Grace: time.Second})
	runAgent(t, c, client.AgentConfig{ID: "single", Capacity: 2, Handle: seen.execute, Grace: time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	tasks := newSubmitted(c, 6, 50)
	const each = 200
	tasks.submit(ctx, each)
	three := w.start("three").ready(t)
	n.upstream(one, two, three)
	n.reload()
	n.upstream(two, three)
	n.reload()
	tasks.submit(ctx, each)
	one.end(t)
	tasks.submit(ctx, each)
	tasks.completed(ctx, t)
}
