package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Raw Redis Streams: one stream, one consumer group, batches both ways. It
// matches nothing, keeps no attempts and never trims: the least that a durable
// queue on Redis can do.
const (
	streamKey       = "tasks"
	streamGroup     = "workers"
	streamConsumers = 4
	streamField     = "p"
)

func streamsSpec() Spec {
	return Spec{
		Name: "streams", About: "raw Redis Streams consumer group, XADD, XREADGROUP and XACK in batches of 500, never trimmed",
		Room: Tasks, Part: Rival, Batch: 500, Lanes: 4, New: func() Peer { return &streams{consumers: streamConsumers} },
	}
}

func xaddSpec() Spec {
	return Spec{
		Name: "xadd", About: "lone XADD in pipelines of 500, nobody consumes: a ceiling, not a peer; its \"start\" is the answer",
		Room: Tasks, Part: Ceiling, Batch: 500, Lanes: 4, New: func() Peer { return &streams{} },
	}
}

// streams is both: without consumers it only stores.
type streams struct {
	consumers int
	redis     *redisServer
	client    *redis.Client

	mu     sync.Mutex
	stored int64
}

// Start starts Redis and makes the group.
func (p *streams) Start(ctx context.Context, env Env) (err error) {
	if p.redis, err = startRedis(ctx, env.Durability, false); err != nil {
		return err
	}
	p.client = redis.NewClient(&redis.Options{Addr: p.redis.addr, PoolSize: 32, ReadTimeout: time.Minute})
	return p.client.XGroupCreateMkStream(ctx, streamKey, streamGroup, "0").Err()
}

// Submit appends a batch in one pipeline.
func (p *streams) Submit(ctx context.Context, _ int, batch []Task) error {
	pipe := p.client.Pipeline()
	for _, t := range batch {
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: streamKey, Values: []any{streamField, t.Payload}})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	p.stored += int64(len(batch))
	p.mu.Unlock()
	return nil
}

// Consume reads the group with several consumers, each acknowledging by number.
func (p *streams) Consume(ctx context.Context, sink Sink) error {
	var all sync.WaitGroup
	for i := range p.consumers {
		all.Go(func() {
			if err := p.read(ctx, fmt.Sprint("worker", i), sink); err != nil && ctx.Err() == nil {
				sink.Fail(err)
			}
		})
	}
	all.Wait()
	return nil
}

func (p *streams) read(ctx context.Context, name string, sink Sink) error {
	args := &redis.XReadGroupArgs{Group: streamGroup, Consumer: name, Streams: []string{streamKey, ">"}, Count: 500, Block: time.Second}
	for ctx.Err() == nil {
		found, err := p.client.XReadGroup(ctx, args).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return err
		}
		entries := found[0].Messages
		ids, names := make([]uint64, len(entries)), make([]string, len(entries))
		for i, e := range entries {
			payload, _ := e.Values[streamField].(string)
			ids[i], names[i] = sink.Begin([]byte(payload)), e.ID
		}
		n, err := p.client.XAck(ctx, streamKey, streamGroup, names...).Result()
		if err != nil {
			return err
		}
		if n != int64(len(names)) {
			return fmt.Errorf("XACK took %d of %d entries", n, len(names))
		}
		sink.Done(ids...)
	}
	return nil
}

// Left is what the group has not read or not acknowledged; without consumers,
// what is missing from the stream.
func (p *streams) Left(ctx context.Context) (int64, error) {
	length, err := p.client.XLen(ctx, streamKey).Result()
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	missing := p.stored - length
	p.mu.Unlock()
	if p.consumers == 0 {
		return missing, nil
	}
	groups, err := p.client.XInfoGroups(ctx, streamKey).Result()
	if err != nil || len(groups) != 1 {
		return 0, fmt.Errorf("XINFO GROUPS: %d groups: %w", len(groups), err)
	}
	return missing + groups[0].Pending + groups[0].Lag, nil
}

// Stop ends Redis.
func (p *streams) Stop() error {
	var err error
	if p.client != nil {
		err = p.client.Close()
	}
	return errors.Join(err, p.redis.stop())
}
