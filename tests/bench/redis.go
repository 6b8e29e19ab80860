package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisServer is a redis-server of the bench's own, with an append-only file.
type redisServer struct {
	cmd  *exec.Cmd
	dir  string
	addr string
}

// redisStart bounds how long a server may take to answer.
const redisStart = 20 * time.Second

func startRedis(ctx context.Context, fsync string, more ...string) (*redisServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &redisServer{addr: l.Addr().String()}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "bench-redis"); err != nil {
		return nil, err
	}
	s.cmd = exec.Command("redis-server", append([]string{
		"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "yes", "--appendfsync", fsync,
	}, more...)...)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("a Redis of the bench's own is needed: apt-get install redis-server: %w", err)
	}
	c := redis.NewClient(&redis.Options{Addr: s.addr})
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, redisStart)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for c.Ping(ctx).Err() != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.end()
			return nil, fmt.Errorf("redis-server at %s did not answer within %s", s.addr, redisStart)
		}
	}
	return s, nil
}

// ownAllSlots makes a server in cluster mode a cluster of its own.
func (s *redisServer) ownAllSlots(ctx context.Context) error {
	c := redis.NewClient(&redis.Options{Addr: s.addr})
	defer c.Close()
	if err := c.ClusterAddSlotsRange(ctx, 0, 16383).Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, redisStart)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for c.Set(ctx, "ready", "", time.Second).Err() != nil { // a node refuses writes for its first seconds
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("redis-server at %s is no cluster after %s", s.addr, redisStart)
		}
	}
	return nil
}

// end kills the server and removes its files.
func (s *redisServer) end() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.dir)
}
