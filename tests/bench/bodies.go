package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

const (
	bodiesTasks = 2000
	bodiesSize  = 64 << 10
	// bodiesCalm is in seconds: at rest Go collects garbage every two minutes.
	bodiesCalm = 125
)

// The bodies rows are what waiting tasks with large payloads take of the orchestrator's resident
// memory: the payloads themselves are in Redis.
var (
	bodiesBefore = shown("bodies/orchestrator at rest", "MB")
	bodiesAfter  = shown("bodies/orchestrator at rest, 2k waiting tasks of 64 KiB", "MB")
)

func measureBodies(ctx context.Context, say func(string, ...any)) []Row {
	rows, err := loadBodies(ctx, say)
	if err != nil {
		return []Row{bodiesBefore.noData(err), bodiesAfter.noData(err)}
	}
	return rows
}

func loadBodies(ctx context.Context, say func(string, ...any)) ([]Row, error) {
	redis, err := startRedis(ctx, "everysec", "--cluster-enabled", "yes")
	if err != nil {
		return nil, err
	}
	defer redis.end()
	if err := redis.ownAllSlots(ctx); err != nil {
		return nil, err
	}
	orchestrator, err := startServer(ctx, redis.addr)
	if err != nil {
		return nil, err
	}
	defer orchestrator.end()
	say("waiting until it is at rest")
	before, err := atRest(ctx, memoryCalm, orchestrator)
	if err != nil {
		return nil, err
	}
	say("submitting %d tasks of %d KiB that nobody can do", bodiesTasks, bodiesSize>>10)
	b := &serverBench{}
	submitter := client.New(orchestrator.url, nil).NewSubmitter(client.SubmitterConfig{})
	for n := range bodiesTasks {
		submitter.Go(ctx, &hivev1.Draft{Queue: fmt.Sprint("q", n%serverQueues), Handler: "note", Payload: make([]byte, bodiesSize)}, func(_ client.Receipt, err error) {
			if err != nil {
				b.fail(err)
			}
		})
	}
	if err := errors.Join(submitter.Close(ctx), b.err()); err != nil {
		return nil, err
	}
	if err := orchestrator.until(ctx, "leanvibe_task_queue_depth", bodiesTasks); err != nil {
		return nil, err
	}
	say("waiting until it is at rest")
	after, err := atRest(ctx, bodiesCalm, orchestrator)
	if err != nil {
		return nil, err
	}
	return []Row{bodiesBefore.with(before[0] / 1e6), bodiesAfter.with(after[0] / 1e6)}, nil
}
