package redis

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/port"
	"github.com/leanvibe/hive/workflows/runbook"
)

const password = "geheim"

// patience bounds what must come, on a machine that may stand still for a while.
const patience = time.Minute

// cluster is a real Redis Cluster of the test's own: node n listens on 127.<base>.n.
type cluster struct {
	t     *testing.T
	base  string
	hand  Hand
	in    runbook.CacheInput
	nodes []*exec.Cmd
}

// newCluster starts masters, and one replica for each where replicated.
func newCluster(t *testing.T, masters int, replicated bool) *cluster {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	require.NoError(t, err, "this test needs a real Redis: apt-get install redis-server")
	number, bus := port.Reserve(t), port.Reserve(t)
	c := &cluster{t: t, base: fmt.Sprintf("127.%d.%d.", 1+os.Getpid()%250, 1+number%250)}
	nodes := masters
	if replicated {
		nodes *= 2
	}
	c.hand = Hand{ProjectDir: t.TempDir(), Locate: c.locate}
	require.NoError(t, os.WriteFile(filepath.Join(c.hand.ProjectDir, "password"), []byte(password+"\n"), 0o600))
	c.in = runbook.CacheInput{Project: "p", Cache: runbook.CachePolicy{Port: number, PasswordFile: "password", Replicas: nodes/masters - 1}}
	for n := range nodes {
		dir := t.TempDir()
		cmd := exec.Command(path, "--port", strconv.Itoa(number), "--cluster-port", strconv.Itoa(bus), "--bind", c.ip(n), "--dir", dir,
			"--cluster-announce-ip", c.ip(n), "--bind-source-addr", c.ip(n), "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--requirepass", password, "--masterauth", password,
			"--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0", "--logfile", filepath.Join(dir, "log"))
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		c.nodes = append(c.nodes, cmd)
		c.in.Cache.Services = append(c.in.Cache.Services, fmt.Sprintf("redis-node%d", n+1))
	}
	c.join(masters, bus)
	return c
}

func (c *cluster) ip(n int) string { return c.base + strconv.Itoa(n+1) }

func (c *cluster) locate(_ context.Context, _, service string) (string, error) {
	var n int
	_, err := fmt.Sscanf(service, "redis-node%d", &n)
	return c.ip(n - 1), err
}

func (c *cluster) client(n int) *redis.Client {
	r := redis.NewClient(&redis.Options{Addr: net.JoinHostPort(c.ip(n), strconv.Itoa(c.in.Cache.Port)), Password: password, Protocol: 2})
	c.t.Cleanup(func() { _ = r.Close() })
	return r
}

// join hands out the slots, introduces the nodes and waits until all is well.
func (c *cluster) join(masters, bus int) {
	c.t.Helper()
	ctx := context.Background()
	for n := range c.nodes {
		r := c.client(n)
		require.Eventually(c.t, func() bool { return r.Ping(ctx).Err() == nil }, patience, 5*time.Millisecond)
		require.NoError(c.t, r.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", n+1).Err())
		if n < masters {
			require.NoError(c.t, r.ClusterAddSlotsRange(ctx, n*slots/masters, (n+1)*slots/masters-1).Err())
		}
		require.NoError(c.t, c.client(0).Do(ctx, "CLUSTER", "MEET", c.ip(n), c.in.Cache.Port, bus).Err())
	}
	for n := masters; n < len(c.nodes); n++ {
		master := c.client(n-masters).Do(ctx, "CLUSTER", "MYID").Val()
		require.Eventually(c.t, func() bool { return c.client(n).Do(ctx, "CLUSTER", "REPLICATE", master).Err() == nil }, patience, 10*time.Millisecond)
	}
	c.well()
}

// well waits until nothing is wrong, and answers what was seen then.
func (c *cluster) well() (s runbook.CacheState) {
	c.t.Helper()
	defer func() {
		if c.t.Failed() {
			c.t.Logf("%+v", s)
		}
	}()
	require.Eventually(c.t, func() bool {
		s = c.observe()
		return len(s.Problems) == 0 && s.Written && s.SlotsCovered == slots
	}, patience, 20*time.Millisecond)
	return s
}

func (c *cluster) observe() runbook.CacheState {
	s, err := c.hand.Observe(context.Background(), c.in)
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	return s
}
