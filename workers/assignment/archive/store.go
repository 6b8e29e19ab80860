package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

const (
	// insertMax bounds one transaction with PostgreSQL, findMax one look.
	insertMax = 30 * time.Second
	findMax   = 2 * time.Second
	// sendMost bounds, in bytes of bodies, what is encoded for PostgreSQL at once: a
	// batch of the largest tasks would otherwise stand twice in memory.
	sendMost = 4 << 20
)

// Store is the table finished_tasks. It is safe for concurrent use.
type Store struct {
	pool    *pgxpool.Pool
	log     *slog.Logger
	findMax time.Duration
	refused atomic.Int64
}

// NewStore connects lazily: PostgreSQL may be away at the start and later. password
// may be empty: then dsn's is used. instance stands in pg_stat_activity. An error is
// a dsn that does not read.
func NewStore(ctx context.Context, dsn, password, instance string) (*Store, error) {
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
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("HIVE_POSTGRES_DSN: %w", err)
	}
	return &Store{pool: pool, log: slog.Default(), findMax: findMax}, nil
}

// Close ends the connections; it waits for calls under way.
func (s *Store) Close() { s.pool.Close() }

// Refused counts the tasks that could not be stored for their data, since the start.
func (s *Store) Refused() int64 { return s.refused.Load() }

// Insert stores finished tasks, in one transaction: all or none. Of a task that is
// there already, or twice in tasks, the newest end stays, or of two at once the last.
// Where PostgreSQL refuses the data of one, each is stored on its own, and those that
// are refused are logged, counted and passed over.
func (s *Store) Insert(ctx context.Context, tasks []partition.Task) error {
	list := distinct(tasks)
	err := s.insert(ctx, list)
	if err != nil && refused(err) {
		err = s.insertEach(ctx, list)
	}
	return explained(err)
}

// distinct keeps the last of each task, in order of id: two replicas that store the
// same tasks lock the rows in the same order, and never wait for each other in a ring.
func distinct(tasks []partition.Task) []*partition.Task {
	last := make(map[partition.TaskID]*partition.Task, len(tasks))
	for i := range tasks {
		last[tasks[i].ID] = &tasks[i]
	}
	list := make([]*partition.Task, 0, len(last))
	for _, t := range last {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *partition.Task) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return list
}

// insertEach stores what can be stored. The refused count only when all were tried:
// a batch that PostgreSQL's absence cuts off comes again as a whole.
func (s *Store) insertEach(ctx context.Context, list []*partition.Task) error {
	why := map[*partition.Task]error{}
	for i, t := range list {
		err := s.insert(ctx, list[i:i+1])
		if err != nil && !refused(err) {
			return err
		}
		if err != nil {
			why[t] = err
		}
	}
	for t, err := range why {
		s.refused.Add(1)
		s.log.Warn("PostgreSQL refuses a finished task for its data: it is not archived there", "task", t.ID, "queue", t.Queue, "error", err)
	}
	return nil
}

// insert stores tasks that are distinct, or none of them.
func (s *Store) insert(ctx context.Context, list []*partition.Task) error {
	ctx, cancel := context.WithTimeout(ctx, insertMax)
	defer cancel()
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		for len(list) > 0 {
			batch, size, n := &pgx.Batch{}, 0, 0
			for ; n < len(list) && size < sendMost; n++ {
				args, err := rowOf(list[n])
				if err != nil {
					return fmt.Errorf("task %s: %w", list[n].ID, err)
				}
				batch.Queue(insertTask, args...)
				size += len(list[n].Payload) + len(list[n].Result)
			}
			if err := tx.SendBatch(ctx, batch).Close(); err != nil {
				return err
			}
			list = list[n:]
		}
		return nil
	})
}

// Find answers an archived task, but for its Digest. Unknown is
// partition.ErrNotFound; without an answer of PostgreSQL it is an *UnreachableError.
func (s *Store) Find(ctx context.Context, id partition.TaskID) (partition.Task, error) {
	ctx, cancel := context.WithTimeout(ctx, s.findMax)
	defer cancel()
	t, err := scanTask(s.pool.QueryRow(ctx, selectTask, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return partition.Task{}, partition.ErrNotFound
	}
	if err != nil {
		return partition.Task{}, &UnreachableError{err}
	}
	return t, nil
}

// Ping answers nil when PostgreSQL does and has the schema.
func (s *Store) Ping(ctx context.Context) error {
	var there bool
	if err := s.pool.QueryRow(ctx, `SELECT to_regclass('finished_tasks') IS NOT NULL`).Scan(&there); err != nil {
		return err
	}
	if !there {
		return errors.New("table finished_tasks is missing: the app schema has not been applied (hive up does)")
	}
	return nil
}
