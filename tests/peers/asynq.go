package main

import (
	"context"
	"errors"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

const (
	asynqQueue = "default"
	asynqType  = "task"
)

func asynqSpec() Spec {
	return Spec{
		Name: "asynq", About: "asynq on Redis; it has no batches, so 32 submitters side by side; 64 workers, task check every 5 ms (default 1 s)",
		Room: Tasks, Part: Rival, Batch: 1, Lanes: 32, New: func() Peer { return &asynqPeer{} },
	}
}

type asynqPeer struct {
	redis     *redisServer
	client    *asynq.Client
	inspector *asynq.Inspector
}

// Start starts Redis.
func (p *asynqPeer) Start(ctx context.Context, env Env) (err error) {
	if p.redis, err = startRedis(ctx, env.Durability, false); err != nil {
		return err
	}
	p.client, p.inspector = asynq.NewClient(p.options()), asynq.NewInspector(p.options())
	return nil
}

func (p *asynqPeer) options() asynq.RedisClientOpt {
	return asynq.RedisClientOpt{Addr: p.redis.addr, PoolSize: 128, ReadTimeout: time.Minute}
}

// Submit enqueues one by one: asynq has nothing else.
func (p *asynqPeer) Submit(ctx context.Context, _ int, batch []Task) error {
	for _, t := range batch {
		if _, err := p.client.EnqueueContext(ctx, asynq.NewTask(asynqType, t.Payload), asynq.MaxRetry(0)); err != nil {
			return err
		}
	}
	return nil
}

// Consume runs asynq's server. asynq tells nobody when it has recorded a task's
// end, so the handler's return counts as the acknowledgement; what Redis still
// holds, Left, must be nothing in the end.
func (p *asynqPeer) Consume(ctx context.Context, sink Sink) error {
	srv := asynq.NewServer(p.options(), asynq.Config{
		Concurrency: 64, TaskCheckInterval: 5 * time.Millisecond, LogLevel: asynq.FatalLevel, ShutdownTimeout: stopMax,
	})
	if err := srv.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		sink.Done(sink.Begin(t.Payload()))
		return nil
	})); err != nil {
		return err
	}
	<-ctx.Done()
	srv.Shutdown()
	return nil
}

// Left is the queue's size in all states.
func (p *asynqPeer) Left(context.Context) (int64, error) {
	info, err := p.inspector.GetQueueInfo(asynqQueue)
	if errors.Is(err, redis.Nil) || errors.Is(err, asynq.ErrQueueNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return int64(info.Size), nil
}

// Stop ends connections and Redis.
func (p *asynqPeer) Stop() error {
	var err error
	if p.client != nil {
		err = errors.Join(p.client.Close(), p.inspector.Close())
	}
	return errors.Join(err, p.redis.stop())
}
