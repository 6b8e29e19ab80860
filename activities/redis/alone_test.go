package redis

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/port"
	"github.com/leanvibe/hive/workflows/runbook"
)

// server starts a real Redis that is no node of a cluster.
func server(t *testing.T, ip string, at int, more ...string) (*redis.Client, *exec.Cmd) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	require.NoError(t, err, "this test needs a real Redis: apt-get install redis-server")
	dir := t.TempDir()
	cmd := exec.Command(path, append([]string{"--port", strconv.Itoa(at), "--bind", ip, "--dir", dir, "--save", "", "--appendonly", "no",
		"--repl-diskless-sync-delay", "0", "--logfile", filepath.Join(dir, "log")}, more...)...)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	c := redis.NewClient(&redis.Options{Addr: net.JoinHostPort(ip, strconv.Itoa(at)), Protocol: 2})
	t.Cleanup(func() { _ = c.Close() })
	require.Eventually(t, func() bool {
		err := c.Ping(context.Background()).Err()
		return err == nil || strings.Contains(err.Error(), "NOAUTH")
	}, patience, 5*time.Millisecond)
	return c, cmd
}

func alone(cache runbook.CachePolicy, at map[string]string) (Hand, runbook.CacheInput) {
	no := false
	cache.Cluster = &no
	return Hand{Locate: func(_ context.Context, _, service string) (string, error) { return at[service], nil }},
		runbook.CacheInput{Project: "p", Cache: cache}
}

func TestARedisByItself(t *testing.T) {
	at := port.Reserve(t)
	c, process := server(t, "127.0.0.1", at, "--maxmemory", "64mb")
	ctx := context.Background()
	h, in := alone(runbook.CachePolicy{Services: []string{"redis"}, Port: at, Replicas: 1}, map[string]string{"redis": "127.0.0.1"})

	s, err := h.Observe(ctx, in)
	require.NoError(t, err)
	require.Empty(t, s.Problems)
	require.True(t, s.Written)
	require.Equal(t, "master", s.Nodes[0].Role)
	require.Positive(t, s.Nodes[0].UsedBytes)
	require.EqualValues(t, 64<<20, s.Nodes[0].LimitBytes)
	keys, err := c.DBSize(ctx).Result()
	require.NoError(t, err)
	require.Zero(t, keys, "the probe's key is gone")

	require.NoError(t, c.ConfigSet(ctx, "maxmemory-policy", "allkeys-lru").Err())
	s, err = h.Observe(ctx, in)
	require.NoError(t, err)
	require.Zero(t, s.Nodes[0].LimitBytes, "it makes room by itself")

	require.NoError(t, c.ConfigSet(ctx, "min-replicas-to-write", "1").Err())
	s, err = h.Observe(ctx, in)
	require.NoError(t, err)
	require.False(t, s.Written)
	require.Contains(t, strings.Join(s.Problems, "\n"), "redis: a write failed: NOREPLICAS")

	require.NoError(t, process.Process.Kill())
	_ = process.Wait()
	s, err = h.Observe(ctx, in)
	require.NoError(t, err, "a server that does not answer is an answer")
	require.NotEmpty(t, s.Nodes[0].Err)
	require.False(t, s.Written)
}

func TestAMasterAndItsReplica(t *testing.T) {
	at := port.Reserve(t)
	_, master := server(t, "127.0.0.1", at)
	server(t, "127.0.0.2", at, "--replicaof", "127.0.0.1", strconv.Itoa(at))
	h, in := alone(runbook.CachePolicy{Services: []string{"redis", "standby"}, Port: at, Replicas: 1},
		map[string]string{"redis": "127.0.0.1", "standby": "127.0.0.2"})
	var s runbook.CacheState
	require.Eventually(t, func() bool {
		var err error
		s, err = h.Observe(context.Background(), in)
		return err == nil && len(s.Problems) == 0
	}, patience, 50*time.Millisecond, "%+v", s)
	require.Equal(t, []string{"master", "replica"}, []string{s.Nodes[0].Role, s.Nodes[1].Role})
	require.True(t, s.Nodes[1].LinkUp)

	require.NoError(t, master.Process.Kill())
	_ = master.Wait()
	require.Eventually(t, func() bool {
		s, _ = h.Observe(context.Background(), in)
		return !s.Nodes[1].LinkUp
	}, patience, 50*time.Millisecond)
	require.Contains(t, strings.Join(s.Problems, "\n"), "no master answers: nobody takes writes")
}

// A policy that says "no cluster" of a cluster's nodes is wrong, and the other way round.
func TestThePolicyAndTheServerMustAgree(t *testing.T) {
	c := newCluster(t, 3, false)
	no := false
	in := c.in
	in.Cache.Cluster = &no
	s, err := c.hand.Observe(context.Background(), in)
	require.NoError(t, err)
	require.Contains(t, strings.Join(s.Problems, "\n"), "redis-node1 is a node of a Redis Cluster, and the policy says cluster: false")
	require.False(t, s.Written)

	at := port.Reserve(t)
	server(t, "127.0.0.1", at)
	h, in := alone(runbook.CachePolicy{Services: []string{"redis"}, Port: at}, map[string]string{"redis": "127.0.0.1"})
	in.Cache.Cluster = nil
	s, err = h.Observe(context.Background(), in)
	require.NoError(t, err)
	require.Contains(t, s.Nodes[0].Err, "cluster")
	require.False(t, s.Written)
}

func TestAPasswordOfItsOwn(t *testing.T) {
	at := port.Reserve(t)
	server(t, "127.0.0.1", at, "--requirepass", password)
	h, in := alone(runbook.CachePolicy{Services: []string{"redis"}, Port: at}, map[string]string{"redis": "127.0.0.1"})
	s, err := h.Observe(context.Background(), in)
	require.NoError(t, err)
	require.NotEmpty(t, s.Nodes[0].Err)
	h.ProjectDir, in.Cache.PasswordFile = t.TempDir(), "password"
	require.NoError(t, os.WriteFile(filepath.Join(h.ProjectDir, "password"), []byte(password+"\n"), 0o600))
	s, err = h.Observe(context.Background(), in)
	require.NoError(t, err)
	require.Empty(t, s.Problems)
	require.True(t, s.Written)
}
