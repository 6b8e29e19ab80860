package redistest

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/port"
)

// clusterWait bounds each wait for the cluster: forming, a promotion, a return.
const clusterWait = 2 * time.Minute

// answerMax bounds a node's answer, on a machine that may stand still for a while.
const answerMax = 20 * time.Second

// Cluster is a Redis Cluster of one test's own, three masters with a replica
// each, as in production: append-only files, min-replicas-to-write 1, noeviction.
type Cluster struct{ nodes []*node }

type node struct {
	addr, dir string
	ports     []string
	cmd       *exec.Cmd
	client    *redis.Client
}

// NewCluster starts a cluster that ends with the test.
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{}
	for range 6 {
		ports := []string{strconv.Itoa(port.Reserve(t)), strconv.Itoa(port.Reserve(t))}
		n := &node{addr: net.JoinHostPort("127.0.0.1", ports[0]), dir: t.TempDir(), ports: ports}
		n.client = redis.NewClient(&redis.Options{Addr: n.addr, MaxRetries: -1, ReadTimeout: answerMax})
		c.nodes = append(c.nodes, n)
		t.Cleanup(n.end)
		n.start(t)
	}
	wait(t, "nodes answer", func(ctx context.Context) bool {
		for _, n := range c.nodes {
			if n.client.Ping(ctx).Err() != nil {
				return false
			}
		}
		return true
	})
	for i, n := range c.nodes {
		require.NoError(t, n.client.Do(t.Context(), "cluster", "set-config-epoch", i+1).Err())
		if i > 0 {
			require.NoError(t, n.client.Do(t.Context(), "cluster", "meet", "127.0.0.1", c.nodes[0].ports[0], c.nodes[0].ports[1]).Err())
		}
		if i < 3 {
			require.NoError(t, n.client.ClusterAddSlotsRange(t.Context(), i*16384/3, (i+1)*16384/3-1).Err())
		}
	}
	for i, n := range c.nodes[3:] {
		master, err := c.nodes[i].client.Do(t.Context(), "cluster", "myid").Text()
		require.NoError(t, err)
		wait(t, "a replica knows its master", func(ctx context.Context) bool {
			return n.client.ClusterReplicate(ctx, master).Err() == nil
		})
	}
	for i := range 3 {
		c.Synced(t, i*16384/3)
	}
	return c
}

// Addrs answers the addresses of all nodes.
func (c *Cluster) Addrs() []string {
	var out []string
	for _, n := range c.nodes {
		out = append(out, n.addr)
	}
	return out
}

// Steady has no node taken for dead any more, however long it or the machine stands
// still: for tests that want no promotion.
func (c *Cluster) Steady(t testing.TB) {
	t.Helper()
	for _, n := range c.nodes {
		require.NoError(t, n.client.ConfigSet(t.Context(), "cluster-node-timeout", "600000").Err())
	}
	for i := range 3 {
		c.Synced(t, i*16384/3)
	}
}

// Synced waits until every node sees the cluster whole and the slot's master calls
// a replica online: it has been sent all that it lacked and is streamed the rest.
func (c *Cluster) Synced(t testing.TB, slot int) {
	t.Helper()
	wait(t, "the slot's replica is synced", func(ctx context.Context) bool {
		for _, n := range c.nodes {
			if info, err := n.client.ClusterInfo(ctx).Result(); err != nil || !strings.Contains(info, "cluster_state:ok") {
				return false
			}
		}
		master := c.master(ctx, slot)
		return master != nil && strings.Contains(master.client.Info(ctx, "replication").Val(), "state=online")
	})
}

// KillMaster ends the slot's master as a crash does, waits until its replica was
// promoted, and starts the killed node again on what is on its disk.
func (c *Cluster) KillMaster(t testing.TB, slot int) {
	t.Helper()
	var killed *node
	wait(t, "the slot has one master", func(ctx context.Context) bool {
		killed = c.master(ctx, slot)
		return killed != nil
	})
	require.NoError(t, killed.cmd.Process.Kill())
	_ = killed.cmd.Wait() // killed, as asked
	wait(t, "a replica is promoted", func(ctx context.Context) bool { return c.master(ctx, slot) != nil })
	killed.start(t)
}

// master is the node that calls itself the slot's master; nil while none does, or
// while two do.
func (c *Cluster) master(ctx context.Context, slot int) *node {
	var found *node
	for _, n := range c.nodes {
		text, err := n.client.ClusterNodes(ctx).Result()
		if err != nil {
			continue
		}
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			if len(f) < 9 || !strings.Contains(f[2], "myself,master") || !owns(f[8:], slot) {
				continue
			}
			if found != nil {
				return nil
			}
			found = n
		}
	}
	return found
}

func owns(ranges []string, slot int) bool {
	for _, r := range ranges {
		from, to, two := strings.Cut(r, "-")
		if !two {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA == nil && errB == nil && a <= slot && slot <= b {
			return true
		}
	}
	return false
}

func (n *node) start(t testing.TB) {
	t.Helper()
	n.cmd = exec.Command("redis-server",
		"--port", n.ports[0], "--bind", "127.0.0.1", "--dir", n.dir, "--logfile", filepath.Join(n.dir, "log"),
		"--cluster-enabled", "yes", "--cluster-port", n.ports[1], "--cluster-node-timeout", "1000",
		"--repl-diskless-sync-delay", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
		"--min-replicas-to-write", "1", "--maxmemory-policy", "noeviction")
	require.NoError(t, n.cmd.Start(), "this test needs a real Redis: apt-get install redis-server")
}

func (n *node) end() {
	_ = n.client.Close()
	if n.cmd != nil && n.cmd.Process != nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	}
}

func wait(t testing.TB, what string, ok func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clusterWait)
	defer cancel()
	require.True(t, until(ctx, func() bool { return ok(ctx) }), "never came: "+what)
}
