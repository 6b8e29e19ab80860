package journal

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/port"
)

// server is a real redis-server that a test may kill and start again.
type server struct {
	dir, port string
	args      []string
	cmd       *exec.Cmd
}

func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), port: strconv.Itoa(port.Reserve(t)), args: args}
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

func (s *server) addr() string { return net.JoinHostPort("127.0.0.1", s.port) }

func (s *server) start(t testing.TB) {
	t.Helper()
	s.cmd = exec.Command("redis-server", append([]string{"--port", s.port, "--bind", "127.0.0.1", "--dir", s.dir,
		"--save", "", "--logfile", filepath.Join(s.dir, "log")}, s.args...)...)
	require.NoError(t, s.cmd.Start(), "this test needs a real Redis: apt-get install redis-server")
	c := redis.NewClient(&redis.Options{Addr: s.addr()})
	defer c.Close()
	require.Eventually(t, func() bool { return c.Ping(t.Context()).Err() == nil }, time.Minute, 2*time.Millisecond)
}

// kill ends the server as kill -9 does.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *server) client(t testing.TB) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var fsyncAlways = []string{"--appendonly", "yes", "--appendfsync", "always"}

// proxy stands before a server; while cut is set it forwards requests and drops
// the connection in place of the next reply.
type proxy struct {
	net.Listener
	cut  atomic.Bool
	cuts atomic.Int64
}

func newProxy(t testing.TB, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go p.pump(out, in, false)
			go p.pump(in, out, true)
		}
	}()
	return p
}

func (p *proxy) pump(dst, src net.Conn, replies bool) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		if replies && p.cut.CompareAndSwap(true, false) {
			p.cuts.Add(1)
			return
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}
