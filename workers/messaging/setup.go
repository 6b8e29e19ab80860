package messaging

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workers/process/rediscluster"
)

// Setup fills the process with the communication-hub, as the environment says:
// HIVE_REDIS_ADDRS, HIVE_REDIS_PASSWORD_FILE, and HIVE_REDIS_WAIT, how many
// replicas must hold a message before it counts as stored (default 0).
func Setup(_ context.Context, p *process.Process) error {
	client, err := rediscluster.FromEnv()
	if err != nil {
		return err
	}
	wait := 0
	if text := os.Getenv("HIVE_REDIS_WAIT"); text != "" {
		if wait, err = strconv.Atoi(text); err != nil || wait < 0 || wait > 5 {
			return fmt.Errorf("HIVE_REDIS_WAIT is %q: write how many replicas must hold a message, 0 to 5, for example 1", text)
		}
	}
	bind(p, client, wait)
	return nil
}

// bind registers the hub with the process.
func bind(p *process.Process, client *redis.ClusterClient, wait int) {
	st := &store{redis: client, wait: wait}
	h := &hub{
		store: st, feeds: newFeeds(st, p.CountError), metrics: newMetrics(p.Registry()), log: p.Log,
		instance: p.Config().Instance, countError: p.CountError,
		sessions: map[string]map[*session]struct{}{},
	}
	h.announce = newAnnouncer(client, h.feeds.touch, h.replaced)
	h.commits = newCommitter(context.Background(), st)
	h.commits.count = p.CountError
	h.commits.gauge = h.metrics.waiting.Set
	h.commits.acked = func(n int) { h.metrics.count("acknowledged", n) }
	h.commits.appended = func(address string, e *entry) {
		h.feeds.offer(address, e)
		h.announce.grown(address)
	}
	h.commits.touched = func(address string) {
		h.feeds.touch(address)
		h.announce.grown(address)
	}
	p.HandleStream("GET /v1/hub/connect", http.HandlerFunc(h.connect))
	p.Handle("POST /v1/messages", http.HandlerFunc(h.postMessage))
	p.Handle("GET /v1/messages", http.HandlerFunc(h.getMessages))
	p.Handle("POST /v1/messages/ack", http.HandlerFunc(h.postAck))
	p.AddCheck(process.Check{Name: "redis", Required: true, Probe: func(ctx context.Context) error {
		return client.Exists(ctx, "hub:check").Err()
	}})
	p.Go("announcements", h.announce.listen)
	p.Go("announcing", h.announce.speak)
	p.Go("reads", h.feeds.fetch)
	p.OnDrain(h.drain)
}
