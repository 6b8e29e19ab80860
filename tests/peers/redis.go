package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// redisServer is one redis-server with its append-only file.
type redisServer struct {
	*process
	addr string
}

// startRedis starts a server; clustered, it is one node that owns all slots. Its
// file is never rewritten while it is measured: a rewrite would fall into one
// contender's window and not into another's.
func startRedis(ctx context.Context, d Durability, clustered bool) (*redisServer, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("redis-server is missing (%s): %w", install, err)
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peers-redis")
	if err != nil {
		return nil, err
	}
	args := []string{
		"--port", strconv.Itoa(ports[0]), "--bind", "127.0.0.1", "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", string(d), "--auto-aof-rewrite-percentage", "0", "--maxmemory-policy", "noeviction",
	}
	if clustered {
		args = append(args, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(ports[1]))
	}
	s, err := launch(dir, exec.Command(path, args...))
	if err != nil {
		return nil, err
	}
	r := &redisServer{s, local(ports[0])}
	c := redis.NewClient(&redis.Options{Addr: r.addr})
	defer c.Close()
	err = s.ready(ctx, func(ctx context.Context) error { return c.Ping(ctx).Err() })
	if err == nil && clustered {
		err = r.takeSlots(ctx, c)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return r, nil
}

// takeSlots makes a cluster of the one node.
func (r *redisServer) takeSlots(ctx context.Context, c *redis.Client) error {
	if err := c.ClusterAddSlotsRange(ctx, 0, 16383).Err(); err != nil {
		return err
	}
	return r.ready(ctx, func(ctx context.Context) error {
		info, err := c.ClusterInfo(ctx).Result()
		if err == nil && !strings.Contains(info, "cluster_state:ok") {
			err = errors.New("the cluster's state is not ok yet")
		}
		return err
	})
}

// stop ends the server.
func (r *redisServer) stop() error {
	if r == nil {
		return nil
	}
	return r.process.stop()
}
