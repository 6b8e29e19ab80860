package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

func riverSpec() Spec {
	return Spec{
		Name: "river", About: "River on PostgreSQL 15, InsertManyFast of 500, 2000 workers, fetch cooldown at its least",
		Room: Tasks, Part: Rival, Batch: 500, Lanes: 4, Slow: true, New: func() Peer { return &riverPeer{} },
	}
}

// riverTask is the job.
type riverTask struct {
	Payload string `json:"p"`
}

// Kind is the job's name in the database.
func (riverTask) Kind() string { return "task" }

// riverWorker executes the job.
type riverWorker struct {
	river.WorkerDefaults[riverTask]

	sink Sink
}

// Work notes the begin; the acknowledgement is River's event.
func (w *riverWorker) Work(_ context.Context, job *river.Job[riverTask]) error {
	w.sink.Begin([]byte(job.Args.Payload))
	return nil
}

type riverPeer struct {
	postgres *postgresServer
	pool     *pgxpool.Pool
	insert   *river.Client[pgx.Tx]
}

// Start starts PostgreSQL with River's schema.
func (p *riverPeer) Start(ctx context.Context, env Env) (err error) {
	if p.postgres, err = startPostgres(ctx, env.Durability); err != nil {
		return err
	}
	config, err := pgxpool.ParseConfig(p.postgres.dsn())
	if err != nil {
		return err
	}
	config.MaxConns = 32
	if p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(p.pool), &rivermigrate.Config{Logger: quiet()})
	if err != nil {
		return err
	}
	if _, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	p.insert, err = river.NewClient(riverpgxv5.New(p.pool), &river.Config{Logger: quiet()})
	return err
}

// Submit inserts a batch with COPY.
func (p *riverPeer) Submit(ctx context.Context, _ int, batch []Task) error {
	params := make([]river.InsertManyParams, len(batch))
	for i, t := range batch {
		params[i].Args = riverTask{string(t.Payload)}
	}
	n, err := p.insert.InsertManyFast(ctx, params)
	if err == nil && n != len(batch) {
		err = fmt.Errorf("River stored %d of %d jobs", n, len(batch))
	}
	return err
}

// Consume works the queue; a job counts as acknowledged when River says that its
// completion is in the database.
func (p *riverPeer) Consume(ctx context.Context, sink Sink) error {
	workers := river.NewWorkers()
	river.AddWorker(workers, &riverWorker{sink: sink})
	client, err := river.NewClient(riverpgxv5.New(p.pool), &river.Config{
		Logger: quiet(), Workers: workers, FetchCooldown: river.FetchCooldownMin, FetchPollInterval: 100 * time.Millisecond,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2000}},
	})
	if err != nil {
		return err
	}
	// As long as the window: an event that finds no room would be dropped.
	events, cancel := client.SubscribeConfig(&river.SubscribeConfig{
		ChanSize: 2 * windowTasks, Kinds: []river.EventKind{river.EventKindJobCompleted, river.EventKindJobFailed, river.EventKindJobCancelled},
	})
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			limit, end := context.WithTimeout(context.WithoutCancel(ctx), stopMax)
			defer end()
			cancel()
			return client.Stop(limit)
		case e := <-events:
			acknowledge(e, sink)
		}
	}
}

func acknowledge(e *river.Event, sink Sink) {
	var args riverTask
	if err := json.Unmarshal(e.Job.EncodedArgs, &args); err != nil {
		sink.Fail(err)
		return
	}
	if e.Kind != river.EventKindJobCompleted {
		sink.Fail(fmt.Errorf("job %d: %s", e.Job.ID, e.Kind))
		return
	}
	id, _, err := parse([]byte(args.Payload))
	if err != nil {
		sink.Fail(err)
		return
	}
	sink.Done(id)
}

// Left is what the table says is not completed.
func (p *riverPeer) Left(ctx context.Context) (n int64, err error) {
	err = p.pool.QueryRow(ctx, "SELECT count(*) FROM river_job WHERE state <> 'completed'").Scan(&n)
	return n, err
}

// Stop ends connections and PostgreSQL.
func (p *riverPeer) Stop() error {
	if p.pool != nil {
		p.pool.Close()
	}
	return p.postgres.stop()
}

// quiet keeps the contenders' logs out of the table.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
