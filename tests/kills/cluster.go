package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisHost is where the cluster's nodes are. It has as many characters as the hosts
// of views: view.go puts one in the place of the other.
const redisHost = "127.0.9.1"

// cluster is a Redis Cluster of three masters with a replica each, as in production
// but for min-replicas-to-write 1.
type cluster struct{ nodes []*redisNode }

type redisNode struct {
	*program
	port   int
	client *redis.Client
	// follow is what everybody but the other nodes' bus reaches it by, so that its replica
	// may fall behind; nil: there is none.
	follow *cable
}

// clusterWait bounds each wait for the cluster.
const clusterWait = 2 * time.Minute

func startCluster(ctx context.Context, dir string, cables bool) (*cluster, error) {
	ports, err := freePorts(redisHost, 12)
	if err != nil {
		return nil, err
	}
	c := &cluster{}
	for i := range 6 {
		n := &redisNode{port: ports[i]}
		data := filepath.Join(dir, fmt.Sprint("redis-", i+1))
		if err := os.MkdirAll(data, 0o700); err != nil {
			return nil, err
		}
		if cables {
			if n.follow, err = newCable(redisHost+":0", n.addr(), "", ""); err != nil {
				return nil, err
			}
		}
		n.program = newProgram(dir, fmt.Sprint("redis-", i+1), "redis-server", []string{
			"--port", strconv.Itoa(n.port), "--bind", redisHost, "--protected-mode", "no", "--dir", data,
			"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(ports[6+i]), "--cluster-node-timeout", "2000",
			"--cluster-announce-ip", redisHost, "--cluster-announce-port", strconv.Itoa(n.announced()),
			"--repl-diskless-sync-delay", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
			"--min-replicas-to-write", "1", "--maxmemory-policy", "noeviction",
		}, nil)
		n.client = redis.NewClient(&redis.Options{Addr: n.addr(), MaxRetries: -1, DialerRetries: 1, ReadTimeout: time.Second})
		c.nodes = append(c.nodes, n)
		if err := n.start(); err != nil {
			return nil, fmt.Errorf("this needs a real Redis: apt-get install redis-server: %w", err)
		}
	}
	return c, c.form(ctx, ports[6])
}

func (n *redisNode) addr() string { return redisHost + ":" + strconv.Itoa(n.port) }

// announced is the port that others are told.
func (n *redisNode) announced() int {
	if n.follow == nil {
		return n.port
	}
	return n.follow.listener.Addr().(*net.TCPAddr).Port
}

// form makes a cluster of the nodes.
func (c *cluster) form(ctx context.Context, bus int) error {
	err := until(ctx, clusterWait, "all Redis nodes answer", func() bool {
		for _, n := range c.nodes {
			if n.client.Ping(ctx).Err() != nil {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	var errs error
	for i, n := range c.nodes {
		errs = errors.Join(errs, n.client.Do(ctx, "cluster", "set-config-epoch", i+1).Err())
		if i > 0 {
			errs = errors.Join(errs, n.client.Do(ctx, "cluster", "meet", redisHost, c.nodes[0].port, bus).Err())
		}
		if i < 3 {
			errs = errors.Join(errs, n.client.ClusterAddSlotsRange(ctx, i*16384/3, (i+1)*16384/3-1).Err())
		}
	}
	for i, n := range c.nodes[3:] {
		master, err := c.nodes[i].client.Do(ctx, "cluster", "myid").Text()
		errs = errors.Join(errs, err, until(ctx, clusterWait, "a Redis replica knows its master", func() bool {
			return n.client.ClusterReplicate(ctx, master).Err() == nil
		}))
	}
	return errors.Join(errs, c.whole(ctx))
}

// addrs answers all nodes.
func (c *cluster) addrs() []string {
	var out []string
	for _, n := range c.nodes {
		out = append(out, redisHost+":"+strconv.Itoa(n.announced()))
	}
	return out
}

// whole waits until every node sees the cluster whole and each of three masters calls
// a replica online.
func (c *cluster) whole(ctx context.Context) error {
	return until(ctx, clusterWait, "the Redis cluster is whole", func() bool {
		masters := 0
		for _, n := range c.nodes {
			info, err := n.client.ClusterInfo(ctx).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") {
				return false
			}
			repl := n.client.Info(ctx, "replication").Val()
			switch {
			case strings.Contains(repl, "role:master"):
				if !strings.Contains(repl, "state=online") {
					return false
				}
				masters++
			case !strings.Contains(repl, "master_link_status:up"):
				return false
			}
		}
		return masters == 3
	})
}

// masters answers who says it is one and owns slots.
func (c *cluster) masters(ctx context.Context) []*redisNode {
	var out []*redisNode
	for _, n := range c.nodes {
		if strings.Contains(n.client.Info(ctx, "replication").Val(), "role:master") {
			out = append(out, n)
		}
	}
	return out
}

// killMaster ends a random master as a crash does, waits until another took its place,
// and starts it again on what is on its disk.
func (c *cluster) killMaster(ctx context.Context, rng *rand.Rand) (string, error) {
	masters := c.masters(ctx)
	if len(masters) != 3 {
		return "", fmt.Errorf("%d Redis masters: want 3 before one is killed", len(masters))
	}
	victim, what := masters[rng.IntN(3)], ""
	if behind := victim.follow != nil && rng.IntN(2) == 0; behind {
		// Its replica hears nothing any more: what is written now dies with the master.
		victim.follow.setFollows(silent)
		long := 20*time.Millisecond + upTo(rng, 800*time.Millisecond)
		what = fmt.Sprintf(", its replica %s behind", long.Round(time.Millisecond))
		if err := pause(ctx, long); err != nil {
			return "", err
		}
		victim.kill()
		victim.follow.setFollows(severed)
	}
	victim.kill()
	err := until(ctx, clusterWait, "a Redis replica is promoted", func() bool { return len(c.masters(ctx)) == 3 })
	if err != nil {
		return "", err
	}
	if victim.follow != nil {
		victim.follow.setFollows(intact)
	}
	return victim.name + what, victim.start()
}

// until polls a condition.
func until(ctx context.Context, within time.Duration, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited up to %s and it never came that %s: %w", within, what, context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}
