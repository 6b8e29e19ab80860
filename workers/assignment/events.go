package assignment

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Events is what the scripts announce on the partition's channel. Delivery is
// not guaranteed: who waits on an event looks again after a while anyway.
type Events struct {
	// Waiting: a task of this capability set waits.
	Waiting func(shape []string)
	// Agent: something about the agent changed: a slot is free, its stream was
	// replaced, or it wants to detach.
	Agent func(id string)
	// Finished: the task is completed or dead.
	Finished func(id string)
}

// Listen delivers events until ctx ends. The library subscribes again after a
// lost connection or a failover.
func (m *Machine) Listen(ctx context.Context, ev Events) {
	sub := m.redis.SSubscribe(ctx, m.prefix+"events")
	defer sub.Close()
	// The channel's own health check replaces a connection that went silent.
	ch := sub.Channel(redis.WithChannelSize(1024), redis.WithChannelHealthCheckInterval(time.Second))
	for {
		select {
		case <-ctx.Done():
			return
		case msg, ok := <-ch:
			if !ok {
				return
			}
			ev.deliver(msg.Payload)
		}
	}
}

func (ev Events) deliver(payload string) {
	kind, value, _ := strings.Cut(payload, ":")
	switch kind {
	case "t":
		ev.Waiting(splitShape(value))
	case "a":
		ev.Agent(value)
	case "d":
		ev.Finished(value)
	}
}
