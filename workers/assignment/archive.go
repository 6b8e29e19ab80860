package assignment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Tuning of the archive.
const (
	archiveBatch = 500
	archiveEvery = time.Second
	// archiveKeep is how long an archived task stays in Redis, if its memory lasts:
	// from bodiesFrom percent of maxmemory the bodies of the oldest go, from wholeFrom
	// percent also their idempotency keys.
	archiveKeep = time.Hour
	bodiesFrom  = 60
	wholeFrom   = 80
	// archiveLock lets one replica archive at a time. It only saves work: a batch
	// written by both is one batch.
	archiveLock = 15 * time.Second
	archiveMax  = 10 * time.Second
	// archiveAfterError is the pause after PostgreSQL refused a batch.
	archiveAfterError = 2 * time.Second
)

// Archive writes finished tasks to PostgreSQL and finds them there.
type Archive struct {
	pool     *pgxpool.Pool
	machine  *Machine
	metrics  *metrics
	log      *slog.Logger
	instance string
}

// NewPool connects lazily: PostgreSQL may be away at the start and later.
func NewPool(ctx context.Context, dsn, password, instance string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("HIVE_POSTGRES_DSN: %w", err)
	}
	if password != "" {
		cfg.ConnConfig.Password = password
	}
	cfg.ConnConfig.RuntimeParams["application_name"] = "universal-orchestrator/" + instance
	cfg.ConnConfig.ConnectTimeout = 2 * time.Second
	cfg.MaxConns = 4
	cfg.MaxConnIdleTime = time.Minute
	return pgxpool.NewWithConfig(ctx, cfg)
}

// Run archives until ctx ends, then leaves the turn to the other replica.
func (a *Archive) Run(ctx context.Context) error {
	for {
		n, err := a.step(ctx)
		pause := archiveEvery
		if err != nil && ctx.Err() == nil {
			a.metrics.countError("archive")
			a.log.Warn("archive failed; finished tasks wait in Redis", "error", err)
			pause = archiveAfterError
		}
		if err == nil && n == archiveBatch {
			pause = 0
		}
		select {
		case <-ctx.Done():
			a.leave(context.WithoutCancel(ctx))
			return nil
		case <-time.After(pause):
		}
	}
}

// leave gives the turn up; failing that, its lock runs out.
func (a *Archive) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, cleanupMax)
	defer cancel()
	r, key := a.machine.redis, a.machine.prefix+"archiver"
	if holder, err := r.Get(ctx, key).Result(); err == nil && holder == a.instance {
		_ = r.Del(ctx, key).Err()
	}
}

// step archives one batch if this replica has the turn. It answers its size.
func (a *Archive) step(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, archiveMax)
	defer cancel()
	r, p := a.machine.redis, a.machine.prefix
	backlog, err := r.ZCard(ctx, p+"finished").Result()
	if err != nil {
		return 0, err
	}
	a.metrics.backlog.Set(float64(backlog))
	mine, err := a.turn(ctx)
	if err != nil || !mine {
		return 0, err
	}
	if err := a.evict(ctx); err != nil {
		return 0, err
	}
	ids, err := r.ZRange(ctx, p+"finished", 0, archiveBatch-1).Result()
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	tasks, err := a.machine.getMany(ctx, ids)
	if err != nil {
		return 0, err
	}
	if err := a.insert(ctx, tasks); err != nil {
		return 0, err
	}
	args := make([]any, 0, 1+len(ids))
	args = append(args, archiveKeep.Milliseconds())
	for _, id := range ids {
		args = append(args, id)
	}
	if _, err := a.machine.run(ctx, archivedScript, args...); err != nil {
		return 0, err
	}
	a.metrics.count("archived", len(ids))
	return len(ids), nil
}

// evict gives memory back while Redis is nearly full.
func (a *Archive) evict(ctx context.Context) error {
	for {
		bodies, whole, err := a.machine.Evict(ctx, archiveBatch)
		if err != nil {
			return err
		}
		a.metrics.count("evicted", bodies+whole)
		if whole > 0 {
			a.log.Warn("Redis is nearly full: the oldest archived tasks and their idempotency keys are let go early", "tasks", whole)
		}
		if bodies < archiveBatch && whole < archiveBatch {
			return nil
		}
	}
}

// turn takes or keeps the lock of the archiving replica.
func (a *Archive) turn(ctx context.Context) (bool, error) {
	mine, err := a.machine.count(ctx, turnScript, a.instance, archiveLock.Milliseconds())
	return mine == 1, err
}

const insertTask = `INSERT INTO finished_tasks (id, idempotency_key, queue, handler, capabilities, priority,
  deadline, max_attempts, payload, state, attempt, failures, agent, submitted_at, started_at, finished_at, result, error)
VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18) ON CONFLICT (id) DO NOTHING`

func (a *Archive) insert(ctx context.Context, tasks []*Task) error {
	batch := &pgx.Batch{}
	for _, t := range tasks {
		caps := t.Capabilities
		if caps == nil {
			caps = []string{}
		}
		batch.Queue(insertTask, t.ID, t.IdempotencyKey, t.Queue, t.Handler, caps, t.Priority,
			orNull(t.Deadline), t.MaxAttempts, t.Payload, string(t.State), t.Attempt, t.Failures, t.Agent,
			t.SubmittedAt, orNull(t.StartedAt), t.FinishedAt, t.Result, pgText(t.Error))
	}
	// One implicit transaction: all rows or none.
	return a.pool.SendBatch(ctx, batch).Close()
}

// pgText drops what PostgreSQL does not take as text: one odd error message must
// not stop the archive for good.
func pgText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

const selectTask = `SELECT id::text, idempotency_key, queue, handler, capabilities, priority, deadline,
  max_attempts, payload, state, attempt, failures, agent, submitted_at, started_at, finished_at, result, error
FROM finished_tasks WHERE id = $1`

// Find answers an archived task, or ErrNotFound.
func (a *Archive) Find(ctx context.Context, id string) (*Task, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	key, err := uuid.Parse(id)
	if err != nil {
		return nil, ErrNotFound
	}
	var t Task
	var deadline, started *time.Time
	err = a.pool.QueryRow(ctx, selectTask, key).Scan(&t.ID, &t.IdempotencyKey, &t.Queue, &t.Handler,
		&t.Capabilities, &t.Priority, &deadline, &t.MaxAttempts, &t.Payload, &t.State, &t.Attempt, &t.Failures,
		&t.Agent, &t.SubmittedAt, &started, &t.FinishedAt, &t.Result, &t.Error)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, unavailable("Redis does not hold the task, and the archive cannot be asked", err)
	}
	if deadline != nil {
		t.Deadline = *deadline
	}
	if started != nil {
		t.StartedAt = *started
	}
	return &t, nil
}

// Ping answers nil when PostgreSQL does and has the schema.
func (a *Archive) Ping(ctx context.Context) error {
	var there bool
	if err := a.pool.QueryRow(ctx, `SELECT to_regclass('finished_tasks') IS NOT NULL`).Scan(&there); err != nil {
		return err
	}
	if !there {
		return errors.New("table finished_tasks is missing: the app schema has not been applied (hive up does)")
	}
	return nil
}
