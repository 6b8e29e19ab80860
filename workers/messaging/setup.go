package messaging

import (
	"context"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workers/process/rediscluster"
)

// Setup fills the process with the communication-hub, as the environment says:
// HIVE_REDIS_ADDRS, HIVE_REDIS_PASSWORD_FILE.
func Setup(_ context.Context, p *process.Process) error {
	client, err := rediscluster.FromEnv()
	if err != nil {
		return err
	}
	bind(p, client)
	return nil
}

// bind registers the hub with the process.
func bind(p *process.Process, client redis.UniversalClient) {
	h := &hub{
		inboxes: &Inboxes{redis: client, now: time.Now}, metrics: newMetrics(p.Registry()), log: p.Log,
		instance: p.Config().Instance, countError: p.CountError,
		sessions: map[string]map[*session]struct{}{},
	}
	p.HandleStream("GET /v1/hub/connect", http.HandlerFunc(h.connect))
	p.Handle("POST /v1/messages", http.HandlerFunc(h.postMessage))
	p.AddCheck(process.Check{Name: "redis", Required: true, Probe: func(ctx context.Context) error {
		return client.Exists(ctx, "hub:check").Err()
	}})
	p.Go("announcements", h.listen)
	p.OnDrain(h.drain)
}
