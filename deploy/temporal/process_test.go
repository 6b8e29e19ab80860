package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
)

// asServer makes the test binary run the real main instead of the tests, so that a server can be killed for real.
const asServer = "HIVE_TEMPORAL_TEST_RUNS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is one running server; a test may start several after each other on the same data.
type process struct {
	t     *testing.T
	ports settings
	args  []string
	cmd   *exec.Cmd
	log   tail
}

// tail keeps the end of what a server logged: enough to see why it failed, short enough to read.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if over := len(l.text) - 4096; over > 0 {
		l.text = l.text[over:]
	}
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// boot starts a server and returns when it is healthy.
func boot(t *testing.T, data string, extra ...string) *process {
	t.Helper()
	p := &process{t: t, ports: *defaults()}
	p.ports.port, p.ports.uiPort, p.ports.metricsPort = free(t), free(t), free(t)
	p.args = append([]string{"--data", data, "--port", strconv.Itoa(p.ports.port), "--ui-port", strconv.Itoa(p.ports.uiPort),
		"--metrics-port", strconv.Itoa(p.ports.metricsPort)}, extra...)
	p.start()
	t.Cleanup(func() { p.stop(syscall.SIGKILL) })
	return p
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0], p.args...)
	p.cmd.Env = append(os.Environ(), asServer+"=1")
	p.cmd.Stderr = &p.log
	require.NoError(p.t, p.cmd.Start())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.Eventually(p.t, func() bool { return checkHealth(ctx, &p.ports, 5*time.Second) == nil },
		time.Minute, 50*time.Millisecond, "server is not healthy: %s", &p.log)
}

// stop ends the server by the signal and returns its exit error; a stopped one stays stopped.
func (p *process) stop(signal syscall.Signal) error {
	if p.cmd.ProcessState != nil {
		return nil
	}
	_ = p.cmd.Process.Signal(signal)
	return p.cmd.Wait()
}

// client connects under a name; without one the SDK's own identity is sent.
func (p *process) client(identity string) client.Client {
	p.t.Helper()
	c, err := client.Dial(client.Options{HostPort: p.ports.address(p.ports.port), Namespace: p.ports.namespace, Identity: identity, Logger: quiet{}})
	require.NoError(p.t, err)
	p.t.Cleanup(c.Close)
	return c
}

func (p *process) page(path string) string {
	return "http://" + p.ports.address(p.ports.uiPort) + path
}

// rss is the resident memory of the server in bytes, as the kernel counts it.
func (p *process) rss() int64 {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	_, after, found := strings.Cut(string(status), "VmRSS:")
	require.True(p.t, found)
	kib, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	require.NoError(p.t, err)
	return kib << 10
}

func free(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().(*net.TCPAddr).Port
}

// quiet drops the SDK's log lines; the tests read results.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
