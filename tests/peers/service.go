package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
)

// service is one of our programs, built from the checkout, with its Redis Cluster
// of one node: a task's whole way is in that node's append-only file.
type service struct {
	*process
	redis *redisServer
	base  string // host:port
}

// startService builds ./cmd/<name> and starts it beside a Redis.
func startService(ctx context.Context, env Env, name string, vars ...string) (_ *service, err error) {
	s := &service{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if s.redis, err = startRedis(ctx, env.Durability, true); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peers-"+name)
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, name)
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/"+name)
	build.Dir = env.Checkout
	if out, err := build.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("go build ./cmd/%s: %w: %s", name, err, out), os.RemoveAll(dir))
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.base = local(ports[0])
	cmd := exec.Command(binary)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(vars,
		"HIVE_LISTEN="+s.base, "HIVE_INSTANCE=peers", "HIVE_DRAIN_MIN=1ms", "HIVE_REDIS_ADDRS="+s.redis.addr)...)
	if s.process, err = launch(dir, cmd); err != nil {
		return nil, err
	}
	return s, s.ready(ctx, s.probe)
}

func (s *service) probe(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.base+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s", resp.Status)
	}
	return nil
}

// stop ends the program, then its Redis.
func (s *service) stop() error {
	if s == nil {
		return nil
	}
	return errors.Join(s.process.stop(), s.redis.stop())
}
