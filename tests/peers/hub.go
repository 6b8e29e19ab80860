package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/api/hub"
)

func hubSpec() Spec {
	return Spec{
		Name: "hub", About: "our communication-hub as this checkout has it, with its Go client: 64 agents over WebSocket, an inbox each, cumulative ack",
		Room: Messages, Part: Ours, Batch: messageBatch, Lanes: agents, New: func() Peer { return &hubPeer{} },
	}
}

type hubPeer struct {
	service *service
	redis   *redis.ClusterClient
	agents  []*hub.Client
	stop    context.CancelFunc
	running sync.WaitGroup

	// The handlers wait for their sink, which comes with Consume.
	sink  Sink
	ready chan struct{}
}

// Start starts Redis and the hub and connects the agents.
func (p *hubPeer) Start(ctx context.Context, env Env) (err error) {
	if p.service, err = startService(ctx, env, "hub"); err != nil {
		return err
	}
	p.redis = redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{p.service.redis.addr}})
	p.ready = make(chan struct{})
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	for i := range agents {
		c, err := hub.New(hub.Config{URL: "http://" + p.service.base, Agent: hubName(i), Handle: p.handle, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		p.agents = append(p.agents, c)
		p.running.Go(func() {
			if err := c.Run(ctx); err != nil {
				<-p.ready
				p.sink.Fail(err)
			}
		})
	}
	return nil
}

func hubName(agent int) string { return fmt.Sprint("agent", agent) }

// Submit sends a batch from the lane's agent and waits for every answer.
func (p *hubPeer) Submit(ctx context.Context, lane int, batch []Task) error {
	answers := make(chan error, len(batch))
	for _, t := range batch {
		if err := p.agents[lane].Queue(ctx, hubName(recipient(t)), "", t.Payload, func(err error) { answers <- err }); err != nil {
			return err
		}
	}
	for range batch {
		select {
		case err := <-answers:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// handle is every agent's; what it returns nil for, its client acknowledges.
func (p *hubPeer) handle(ctx context.Context, messages []hub.Message) error {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return nil
	}
	ids := make([]uint64, len(messages))
	for i := range messages {
		ids[i] = p.sink.Begin(messages[i].Body)
	}
	p.sink.Done(ids...)
	return nil
}

// Consume lets the handlers begin.
func (p *hubPeer) Consume(ctx context.Context, sink Sink) error {
	p.sink = sink
	close(p.ready)
	<-ctx.Done()
	return nil
}

// Left is what the inboxes hold, in rounds: an acknowledged one is gone.
func (p *hubPeer) Left(ctx context.Context) (int64, error) {
	var sum int64
	for i := range agents {
		n, err := p.redis.XLen(ctx, "hub:{"+hubName(i)+"}:log").Result()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// Stop ends the clients, the hub and its Redis.
func (p *hubPeer) Stop() error {
	var errs []error
	if p.stop != nil {
		p.stop()
	}
	p.running.Wait()
	if p.redis != nil {
		errs = append(errs, p.redis.Close())
	}
	return errors.Join(append(errs, p.service.stop())...)
}
