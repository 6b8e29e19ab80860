// Package redis is the hand on Redis: a Redis Cluster, or servers by themselves. It
// only looks: every node is asked for its own view, because a node that has lost its
// slots is still called fine by the others (operations.md §7).
//
// It never emits FLUSHDB, FLUSHALL, SWAPDB or CLUSTER RESET.
package redis

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// observeMax bounds the whole look, so that ReadinessCheck stays within 3 s
	// with a node that does not answer.
	observeMax = 2 * time.Second
	dialMax    = 700 * time.Millisecond
	// probeLives is how long a probe's key may outlive a killed probe.
	probeLives = 10 * time.Second
)

// Hand looks at the Redis of one project.
type Hand struct {
	// ProjectDir is the absolute project root.
	ProjectDir string
	// Locate answers the address of a service's container.
	Locate func(ctx context.Context, project, service string) (ip string, err error)
}

// Observe answers runbook.ObserveCache. A node that does not answer is an answer.
func (h Hand) Observe(ctx context.Context, in runbook.CacheInput) (runbook.CacheState, error) {
	ctx, cancel := context.WithTimeout(ctx, observeMax)
	defer cancel()
	password, err := h.password(in.Cache)
	if err != nil {
		return runbook.CacheState{}, err
	}
	look, verdict := h.ask, judge
	if !in.Cache.Clustered() {
		look, verdict = h.askAlone, judgeAlone
	}
	views := make([]view, len(in.Cache.Services))
	var wg sync.WaitGroup
	for i, service := range in.Cache.Services {
		wg.Go(func() { views[i] = look(ctx, in, service, password) })
	}
	wg.Wait()
	if !slices.ContainsFunc(views, func(v view) bool { return v.address != "" }) {
		// Not one address: that is about who was asked for them, and no verdict on Redis.
		return runbook.CacheState{}, runbook.Fail(runbook.Unreachable, "%s", views[0].err)
	}
	return verdict(in.Cache, views), nil
}

func (h Hand) password(cache runbook.CachePolicy) (string, error) {
	if cache.PasswordFile == "" {
		return "", nil
	}
	raw, err := os.ReadFile(filepath.Join(h.ProjectDir, cache.PasswordFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", runbook.Fail(runbook.Missing, "%s does not exist; hive up writes it, or put the password of Redis there", cache.PasswordFile)
	case err != nil:
		return "", runbook.Fail(runbook.Refused, "%s cannot be read; it must be readable to this worker", cache.PasswordFile)
	}
	return strings.TrimRight(string(raw), "\r\n"), nil
}

// dial makes a client of the view's node; it connects with the first question.
func (h Hand) dial(ctx context.Context, in runbook.CacheInput, v *view, password string) (*redis.Client, error) {
	ip, err := h.Locate(ctx, in.Project, v.service)
	if err != nil {
		return nil, err
	}
	v.address = net.JoinHostPort(ip, strconv.Itoa(in.Cache.Port))
	return redis.NewClient(&redis.Options{
		Addr: v.address, Password: password, ClientName: "hive",
		DialTimeout: dialMax, ReadTimeout: observeMax, ContextTimeoutEnabled: true,
		MaxRetries: -1, DialerRetries: 1, PoolSize: 1, DisableIdentity: true, Protocol: 2,
	}), nil
}

// ask asks one node for its view and, where it is a master with slots, writes,
// reads and deletes a key of its own.
func (h Hand) ask(ctx context.Context, in runbook.CacheInput, service, password string) view {
	v := view{service: service}
	client, err := h.dial(ctx, in, &v, password)
	if err != nil {
		v.err = "no address: " + runbook.Reason(err)
		return v
	}
	defer client.Close()
	nodes, err := client.ClusterNodes(ctx).Result()
	if err == nil {
		v.info, err = client.Info(ctx).Result()
	}
	if err == nil {
		v.cluster, err = client.ClusterInfo(ctx).Result()
	}
	if err == nil {
		v.peers, err = parseNodes(nodes)
	}
	if err != nil {
		v.err = runbook.Reason(classify(err, in.Cache))
		return v
	}
	if self := v.self(); self.master() && self.count() > 0 {
		v.probed = probe(ctx, client, keyOf(self))
		v.writes = v.probed == ""
	}
	return v
}

// probe writes, reads and deletes a key of ours, and says what failed, or "".
func probe(ctx context.Context, client *redis.Client, key string) string {
	value := strconv.FormatInt(time.Now().UnixNano(), 36)
	if err := client.Set(ctx, key, value, probeLives).Err(); err != nil {
		return "a write failed: " + err.Error()
	}
	got, err := client.Get(ctx, key).Result()
	switch {
	case err != nil:
		return "a read failed: " + err.Error()
	case got != value:
		return "a read gave another value than was written"
	}
	if n, err := client.Del(ctx, key).Result(); err != nil || n != 1 {
		return "a delete failed: " + errorText(err, "the key was gone")
	}
	return ""
}

func errorText(err error, otherwise string) string {
	if err != nil {
		return err.Error()
	}
	return otherwise
}
