// Package redistest gives the tests of a package one real Redis: a redis-server
// in cluster mode that owns all slots, in a temporary directory, gone with the
// tests. A package uses it so, and each test takes keys of its own:
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Run(m)) }
//	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{redistest.Addr(t)}})
package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/port"
)

// startMax bounds the start; a cluster node refuses writes for its first 2 s.
const startMax = time.Minute

type server struct {
	addr    string
	ports   []string
	release []func() // of the ports
	dir     string
	cmd     *exec.Cmd
	aof     bool // each write is on disk before it is answered
}

var (
	running server
	start   = sync.OnceValue(func() error { return running.start() })
)

// Run runs the package's tests and ends the server if one was started.
func Run(m *testing.M) int {
	code := m.Run()
	running.stop()
	return code
}

// Addr answers the server's address, starting it first when need be. It fails
// the test when redis-server is not installed, saying how to get it.
func Addr(t testing.TB) string {
	t.Helper()
	require.NoError(t, start())
	return running.addr
}

func (s *server) start() error {
	for range 2 {
		number, release, err := port.Take()
		if err != nil {
			return err
		}
		s.ports, s.release = append(s.ports, strconv.Itoa(number)), append(s.release, release)
	}
	var err error
	if s.dir, err = os.MkdirTemp("", "redistest"); err != nil {
		return err
	}
	s.addr = net.JoinHostPort("127.0.0.1", s.ports[0])
	if err := s.launch(); err != nil {
		return err
	}
	return s.ready()
}

// launch starts the process, for the first time or again.
func (s *server) launch() error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("this test needs a real Redis: apt-get install redis-server: %w", err)
	}
	aof := "no"
	if s.aof {
		aof = "yes"
	}
	s.cmd = exec.Command(path,
		"--port", s.ports[0], "--bind", "127.0.0.1", "--dir", s.dir, "--logfile", filepath.Join(s.dir, "log"),
		"--cluster-enabled", "yes", "--cluster-port", s.ports[1], "--save", "", "--appendonly", aof, "--appendfsync", "always")
	return s.cmd.Start()
}

// ready hands all slots to the node and waits until the cluster says ok.
func (s *server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), startMax)
	defer cancel()
	// Repeated after a late answer, the slots would be taken already.
	c := redis.NewClient(&redis.Options{Addr: s.addr, ReadTimeout: startMax, MaxRetries: -1})
	defer c.Close()
	if !until(ctx, func() bool { return c.Ping(ctx).Err() == nil }) {
		return errors.New("redis-server does not answer: " + s.log())
	}
	if err := c.ClusterAddSlotsRange(ctx, 0, 16383).Err(); err != nil {
		return err
	}
	if !until(ctx, func() bool { return strings.Contains(c.ClusterInfo(ctx).Val(), "cluster_state:ok") }) {
		return errors.New("the cluster's state never became ok: " + s.log())
	}
	return nil
}

func (s *server) log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(b) + fmt.Sprint(err)
}

func (s *server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
	for _, release := range s.release {
		release()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// until polls a condition; false when ctx ended first.
func until(ctx context.Context, ok func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
