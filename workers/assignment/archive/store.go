package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

const (
	// insertMax bounds one transaction with PostgreSQL, findMax one look.
	insertMax = 30 * time.Second
	findMax   = 2 * time.Second
	// sendMost bounds, in bytes of bodies, what is encoded at once of tasks that go by a
	// statement each: a batch of the largest would otherwise stand twice in memory.
	sendMost = 4 << 20
	// connsMost bounds the connections, insertsMost how many of them write at once: two
	// keep a server's disk and processors busy, and Find never waits for a batch.
	connsMost   = 4
	insertsMost = 2
	// halvesLeast is from how many tasks on a batch goes by two transactions side by side: each
	// costs the disk a flush, which a small batch is not worth.
	halvesLeast = 2048
	// insertTries bounds how often another writer may come first.
	insertTries = 3
)

// Store is the table finished_tasks. It is safe for concurrent use.
type Store struct {
	pool    *pgxpool.Pool
	log     *slog.Logger
	findMax time.Duration
	writing chan struct{} // has room for insertsMost
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
	cfg.MaxConns = connsMost
	cfg.MaxConnIdleTime = time.Minute
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("HIVE_POSTGRES_DSN: %w", err)
	}
	return &Store{pool: pool, log: slog.Default(), findMax: findMax, writing: make(chan struct{}, insertsMost)}, nil
}

// Close ends the connections; it waits for calls under way.
func (s *Store) Close() { s.pool.Close() }

// Refused counts the tasks that could not be stored for their data, since the start.
func (s *Store) Refused() int64 { return s.refused.Load() }

// Insert stores finished tasks; where it fails, some may be stored. Of a task that is
// there already, or twice in tasks, the newest end stays, or of two at once the last.
// Where the data of one is refused, the others are stored without it; those that are
// refused are logged, counted and passed over.
func (s *Store) Insert(ctx context.Context, tasks []partition.Task) error {
	list, why := distinct(tasks), map[*partition.Task]error{}
	list = slices.DeleteFunc(list, func(t *partition.Task) bool {
		err := storable(t)
		if err != nil {
			why[t] = err
		}
		return err != nil
	})
	if err := s.insertAll(ctx, list, why); err != nil {
		return explained(err)
	}
	// Counted only now: a batch that PostgreSQL's absence cuts off comes again as a whole.
	for t, err := range why {
		s.refused.Add(1)
		s.log.Warn("PostgreSQL refuses a finished task for its data: it is not archived there", "task", t.ID, "queue", t.Queue, "error", err)
	}
	return nil
}

// insertAll stores distinct tasks, a large batch by halves side by side.
func (s *Store) insertAll(ctx context.Context, list []*partition.Task, why map[*partition.Task]error) error {
	if len(list) < halvesLeast {
		return s.insertSome(ctx, list, why)
	}
	half := len(list) / 2
	other := map[*partition.Task]error{}
	var g errgroup.Group
	g.Go(func() error { return s.insertSome(ctx, list[:half], why) })
	g.Go(func() error { return s.insertSome(ctx, list[half:], other) })
	err := g.Wait()
	maps.Copy(why, other)
	return err
}

// distinct keeps the last of each task, in order of id: two replicas that store the
// same tasks lock the rows in the same order, and never wait for each other in a ring.
func distinct(tasks []partition.Task) []*partition.Task {
	list := make([]*partition.Task, len(tasks))
	for i := range tasks {
		list[len(tasks)-1-i] = &tasks[i] // the last first: it is the one that stays
	}
	slices.SortStableFunc(list, func(a, b *partition.Task) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return slices.CompactFunc(list, func(a, b *partition.Task) bool { return a.ID == b.ID })
}

// insertSome stores those of distinct tasks that PostgreSQL takes; of the others why
// says why not. It halves the list around them: one of n costs about 2 log n statements
// more, and each row of the list is sent about twice.
func (s *Store) insertSome(ctx context.Context, list []*partition.Task, why map[*partition.Task]error) error {
	if len(list) == 0 {
		return nil
	}
	err := s.insert(ctx, list)
	if err == nil || !refused(err) {
		return err
	}
	if len(list) == 1 {
		why[list[0]] = err
		return nil
	}
	half := len(list) / 2
	if err := s.insertSome(ctx, list[:half], why); err != nil {
		return err
	}
	return s.insertSome(ctx, list[half:], why)
}

// insert stores tasks that are distinct, or none of them. The table hardly ever has one of
// them, so all are copied without a look; where it has, or another writer comes first with
// one, it looks what is left to do.
func (s *Store) insert(ctx context.Context, list []*partition.Task) error {
	do := copyTo
	if len(list) == 1 {
		do = replace // PostgreSQL's last word on the task
	}
	err := s.write(ctx, list, do)
	for try := 1; overtaken(err) && try <= insertTries; try++ {
		err = s.write(ctx, list, merge)
	}
	return err
}

// write has do store tasks in one transaction.
func (s *Store) write(ctx context.Context, list []*partition.Task, do func(context.Context, pgx.Tx, []*partition.Task) error) error {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, insertMax)
	defer cancel()
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return do(ctx, tx, list) })
}

// merge copies the tasks that the table does not have and replaces the older ends that
// it has. Who waits in the first part holds no row of the second, so the order of ids
// in each of them keeps rings away.
func merge(ctx context.Context, tx pgx.Tx, list []*partition.Task) error {
	fresh, newer, err := compare(ctx, tx, list)
	if err != nil {
		return err
	}
	if err := copyTo(ctx, tx, fresh); err != nil {
		return err
	}
	return replace(ctx, tx, newer)
}

// copyTo adds tasks, none of which the table has, by one COPY. A row is encoded when it is
// sent: however large the batch is, pgx holds a piece of 64 KiB and the largest task.
func copyTo(ctx context.Context, tx pgx.Tx, list []*partition.Task) error {
	if len(list) == 0 {
		return nil
	}
	row := newRow()
	rows := pgx.CopyFromSlice(len(list), func(i int) ([]any, error) { return row.of(list[i]), nil })
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"finished_tasks"}, columns, rows)
	return err
}

// replace stores each task by a statement of its own, where the table has no newer end
// of it. It holds sendMost and one task's bodies at once.
func replace(ctx context.Context, tx pgx.Tx, list []*partition.Task) error {
	for len(list) > 0 {
		batch, size, n := &pgx.Batch{}, 0, 0
		for ; n < len(list) && size < sendMost; n++ {
			batch.Queue(insertTask, newRow().of(list[n])...)
			size += len(list[n].Payload) + len(list[n].Result)
		}
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
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
