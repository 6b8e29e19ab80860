package main

import (
	"context"
	"fmt"
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

// patience bounds what must come, on a machine that has more to do.
const patience = 2 * time.Minute

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
	t       *testing.T
	ports   settings
	cmd     *exec.Cmd
	log     tail
	ended   chan struct{} // closed when it has, with what is in exit
	exit    error
	stopped bool
}

// tail keeps the end of what a server logged: enough to see why it failed, whose reason stands before a long stack.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if over := len(l.text) - 64<<10; over > 0 {
		l.text = l.text[over:]
	}
	return len(b), nil
}

func (l *tail) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// boot starts a server and returns when it is healthy. One that ends because somebody else was faster to take a port
// is started again with others.
func boot(t *testing.T, data string, extra ...string) *process {
	t.Helper()
	p := &process{t: t, ports: *defaults()}
	t.Cleanup(func() { p.stop(syscall.SIGKILL) })
	for p.launch(data, extra); !p.healthy(); p.launch(data, extra) {
		require.Contains(t, p.log.String(), syscall.EADDRINUSE.Error(), "the server has ended")
	}
	return p
}

func (p *process) launch(data string, extra []string) {
	p.t.Helper()
	ports, err := p.ports.freePorts(3)
	require.NoError(p.t, err)
	p.ports.port, p.ports.uiPort, p.ports.metricsPort = ports[0], ports[1], ports[2]
	p.log.clear()
	p.cmd = exec.Command(os.Args[0], append([]string{"--data", data, "--port", strconv.Itoa(p.ports.port),
		"--ui-port", strconv.Itoa(p.ports.uiPort), "--metrics-port", strconv.Itoa(p.ports.metricsPort)}, extra...)...)
	p.cmd.Env = append(os.Environ(), asServer+"=1")
	p.cmd.Stderr = &p.log
	require.NoError(p.t, p.cmd.Start())
	p.ended = make(chan struct{})
	go func() {
		p.exit = p.cmd.Wait()
		close(p.ended)
	}()
}

// healthy waits until the server is; false when it has ended.
func (p *process) healthy() (healthy bool) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		select {
		case <-p.ended:
			return true
		default:
		}
		healthy = checkHealth(context.Background(), &p.ports, 5*time.Second) == nil
		return healthy
	}, patience, 50*time.Millisecond, "the server is not healthy: %s", &p.log)
	return healthy
}

// stop ends the server by the signal and returns its exit error; a stopped one stays stopped.
func (p *process) stop(signal syscall.Signal) error {
	if p.stopped || p.ended == nil {
		return nil
	}
	p.stopped = true
	_ = p.cmd.Process.Signal(signal)
	<-p.ended
	return p.exit
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

// quiet drops the SDK's log lines; the tests read results.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
