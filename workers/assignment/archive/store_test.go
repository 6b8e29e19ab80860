package archive

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/migrations/app/apptest"
	"github.com/leanvibe/hive/workers/assignment/partition"
)

// patient bounds each wait of these tests: the machine may be starved.
const patient = 30 * time.Second

// storeOn answers a Store on a fresh database with the schema, and its DSN.
func storeOn(t testing.TB) (*Store, string) {
	t.Helper()
	dsn := apptest.Schema(t)
	s, err := NewStore(t.Context(), dsn, "", "test")
	require.NoError(t, err)
	t.Cleanup(s.Close)
	s.findMax = patient
	return s, dsn
}

// taskOf makes a completed task with every field set.
func taskOf(i int) partition.Task {
	at := time.Date(2026, 11, 29, 15, 0, 0, 123_000, time.UTC).UnixMicro() + int64(i)
	return partition.Task{
		Draft: partition.Draft{
			ID: uuid.Must(uuid.NewV7()), Key: fmt.Sprintf("key-%d", i), Queue: "images", Handler: "resize",
			Capabilities: []string{"gpu", "zone-a"}, Priority: 9, Deadline: at + 10_000_000, MaxAttempts: 100, Payload: []byte("\x00\xff<payload>"),
		},
		Phase: partition.Completed, Attempt: 3, Failures: 2, Agent: "agent-7",
		Submitted: at, Started: at + 1, Finished: at + 2, Result: []byte(`{"ok":true}`),
	}
}

func TestStore_InsertFind(t *testing.T) {
	s, _ := storeOn(t)
	require.NoError(t, s.Ping(t.Context()))
	full := taskOf(1)
	bare := partition.Task{
		Draft: partition.Draft{ID: uuid.Must(uuid.NewV7()), Queue: "q", Handler: "h", MaxAttempts: 1},
		Phase: partition.Cancelled, Submitted: 1, Finished: 2, Error: "cancelled",
	}
	require.NoError(t, s.Insert(t.Context(), []partition.Task{full, bare}))
	got, err := s.Find(t.Context(), full.ID)
	require.NoError(t, err)
	require.Equal(t, full, got)

	got, err = s.Find(t.Context(), bare.ID)
	require.NoError(t, err)
	bare.Capabilities, bare.Payload, bare.Result = []string{}, []byte{}, []byte{} // never NULL
	require.Equal(t, bare, got)

	_, err = s.Find(t.Context(), uuid.New())
	require.ErrorIs(t, err, partition.ErrNotFound)
	require.NoError(t, s.Insert(t.Context(), nil))
	require.Zero(t, s.Refused())
}

func TestStore_RepeatedAndDrivenAgain(t *testing.T) {
	s, _ := storeOn(t)
	first := taskOf(1)
	require.NoError(t, s.Insert(t.Context(), []partition.Task{first}))

	again := first
	again.Phase, again.Attempt, again.Error, again.Result, again.Finished = partition.Dead, 4, "no disk", nil, first.Finished+1
	other := first
	other.Error = "other"
	for _, c := range []struct {
		offered   partition.Task
		want, why string
	}{
		{other, "", "the same end again changes nothing"},
		{again, "no disk", "a newer end replaces"},
		{first, "no disk", "an older end does not"},
	} {
		require.NoError(t, s.Insert(t.Context(), []partition.Task{c.offered}))
		got, err := s.Find(t.Context(), first.ID)
		require.NoError(t, err)
		require.Equal(t, c.want, got.Error, c.why)
	}
	got, err := s.Find(t.Context(), first.ID)
	require.NoError(t, err)
	require.Equal(t, partition.Dead, got.Phase)
	require.Empty(t, got.Result)

	twice := taskOf(2)
	last := twice
	last.Agent, last.Finished = "agent-8", twice.Finished+1
	require.NoError(t, s.Insert(t.Context(), []partition.Task{twice, taskOf(3), last}))
	got, err = s.Find(t.Context(), twice.ID)
	require.NoError(t, err)
	require.Equal(t, "agent-8", got.Agent)
}

// versions answers which version of each row is there: one that was written again has
// another, also where its contents are the same.
func versions(t *testing.T, s *Store) map[partition.TaskID]string {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `SELECT id, xmin::text || ctid::text FROM finished_tasks`)
	require.NoError(t, err)
	out := map[partition.TaskID]string{}
	var id partition.TaskID
	var version string
	_, err = pgx.ForEachRow(rows, []any{&id, &version}, func() error {
		out[id] = version
		return nil
	})
	require.NoError(t, err)
	return out
}

func requireStored(t *testing.T, s *Store, tasks ...partition.Task) {
	t.Helper()
	for _, task := range tasks {
		got, err := s.Find(t.Context(), task.ID)
		require.NoError(t, err)
		require.Equal(t, task, got)
	}
}

func TestStore_BatchRepeatedWhole(t *testing.T) {
	s, _ := storeOn(t)
	tasks := tasksOf(0, 300)
	require.NoError(t, s.Insert(t.Context(), tasks))
	once := versions(t, s)
	require.Len(t, once, len(tasks))
	require.NoError(t, s.Insert(t.Context(), tasks))
	require.Equal(t, once, versions(t, s), "no row is written again")
	requireStored(t, s, tasks...)
}

func TestStore_BatchesThatOverlap(t *testing.T) {
	s, _ := storeOn(t)
	tasks := tasksOf(0, 300)
	require.NoError(t, s.Insert(t.Context(), tasks[:200]))
	once := versions(t, s)
	again := slices.Clone(tasks[100:])
	driven := &again[7]
	driven.Phase, driven.Attempt, driven.Finished, driven.Error = partition.Dead, 9, driven.Finished+1, "no disk"
	older := &again[8]
	older.Finished, older.Error = older.Finished-1, "older"
	twice := again[250-100]
	twice.Agent, twice.Finished = "agent-8", twice.Finished+1
	require.NoError(t, s.Insert(t.Context(), append(again, twice)))

	want := slices.Clone(tasks)
	want[107], want[250] = *driven, twice
	requireStored(t, s, want...)
	both := versions(t, s)
	require.Len(t, both, len(tasks))
	for id, version := range once {
		require.Equal(t, id != driven.ID, version == both[id], "only the newer end is written")
	}
}

// Another replica may store the same tasks at the same time, when a partition moves.
func TestStore_OvertakenByAnotherWriter(t *testing.T) {
	s, dsn := storeOn(t)
	tasks := tasksOf(0, 100)
	other, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer other.Close(context.WithoutCancel(t.Context()))
	tx, err := other.Begin(t.Context())
	require.NoError(t, err)
	newer := tasks[50]
	newer.Finished, newer.Agent = newer.Finished+1, "agent-8"
	require.NoError(t, replace(t.Context(), tx, []*partition.Task{&tasks[20], &newer}))

	done := make(chan error, 1)
	go func() { done <- s.Insert(t.Context(), tasks) }()
	require.Eventually(t, func() bool { return waiting(t, s) == 1 }, patient, 5*time.Millisecond, "it waits for the other's end")
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	require.Zero(t, s.Refused(), "being second is no fault of the task's")
	want := slices.Clone(tasks)
	want[50] = newer
	requireStored(t, s, want...)
}

// waiting answers how many sessions wait for a lock.
func waiting(t *testing.T, s *Store) (n int) {
	t.Helper()
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n))
	return n
}

// Writers of the same tasks, some of them driven again, never wait in a ring.
func TestStore_SeveralWritersOfTheSameTasks(t *testing.T) {
	s, dsn := storeOn(t)
	tasks := tasksOf(0, 400)
	require.NoError(t, s.Insert(t.Context(), tasks[:200]))
	again := slices.Clone(tasks)
	for i := range again {
		again[i].Finished++
	}
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		replica, err := NewStore(t.Context(), dsn, "", "replica")
		require.NoError(t, err)
		defer replica.Close()
		wg.Go(func() {
			mine := slices.Clone(again)
			if i%2 == 0 {
				slices.Reverse(mine)
			}
			for batch := range slices.Chunk(mine, 150+i) {
				errs[i] = errors.Join(errs[i], replica.Insert(t.Context(), batch))
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	requireStored(t, s, again...)
}

func TestStore_FindDoesNotWaitForBatches(t *testing.T) {
	s, dsn := storeOn(t)
	task := taskOf(0)
	require.NoError(t, s.Insert(t.Context(), []partition.Task{task}))
	other, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer other.Close(context.WithoutCancel(t.Context()))
	tx, err := other.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE finished_tasks IN EXCLUSIVE MODE`)
	require.NoError(t, err)
	done := make(chan error, 2*connsMost)
	for i := range cap(done) {
		go func() { done <- s.Insert(t.Context(), tasksOf(10*i, 3)) }()
	}
	require.Eventually(t, func() bool { return waiting(t, s) == insertsMost }, patient, 5*time.Millisecond)
	requireStored(t, s, task)
	require.NoError(t, tx.Commit(t.Context()))
	for range cap(done) {
		require.NoError(t, <-done)
	}
}

func TestStore_OddText(t *testing.T) {
	s, _ := storeOn(t)
	odd := taskOf(1)
	odd.Error, odd.Key, odd.Capabilities = "a\x00b\xffc", "\xfe", []string{"\x00"}
	require.NoError(t, s.Insert(t.Context(), []partition.Task{odd, taskOf(2)}))
	got, err := s.Find(t.Context(), odd.ID)
	require.NoError(t, err)
	require.Equal(t, "a\uFFFDb\uFFFDc", got.Error)
	require.Equal(t, "\uFFFD", got.Key)
	require.Equal(t, []string{"\uFFFD"}, got.Capabilities)
	require.Zero(t, s.Refused())
}

func TestStore_MoreThanIsSentAtOnce(t *testing.T) {
	s, _ := storeOn(t)
	var tasks []partition.Task
	for i := range 20 {
		task := taskOf(i)
		task.Payload = make([]byte, sendMost/8)
		tasks = append(tasks, task)
	}
	require.NoError(t, s.Insert(t.Context(), tasks))
	requireStored(t, s, tasks...)
	for i := range tasks {
		tasks[i].Finished++
	}
	require.NoError(t, s.Insert(t.Context(), tasks))
	requireStored(t, s, tasks...)
}

func TestStore_RefusedRowDoesNotStopTheOthers(t *testing.T) {
	s, dsn := storeOn(t)
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), `ALTER TABLE finished_tasks ADD CONSTRAINT no_bad CHECK (agent <> 'bad')`)
	require.NoError(t, err)

	good, bad, large, waiting, late := taskOf(1), taskOf(2), taskOf(3), taskOf(4), taskOf(5)
	bad.Agent = "bad"
	large.Priority = math.MaxInt16 + 1
	waiting.Phase = partition.Waiting
	late.Finished = math.MaxInt64
	atBounds := taskOf(6)
	atBounds.Priority, atBounds.MaxAttempts, atBounds.Attempt, atBounds.Failures = math.MaxInt16, math.MaxInt16, math.MaxInt32, math.MaxInt32
	atBounds.Deadline, atBounds.Finished = latest, latest
	require.NoError(t, s.Insert(t.Context(), []partition.Task{bad, large, waiting, late, atBounds, good}))
	require.EqualValues(t, 4, s.Refused())
	for _, task := range []partition.Task{good, atBounds} {
		got, err := s.Find(t.Context(), task.ID)
		require.NoError(t, err)
		require.Equal(t, task, got)
	}
	for _, task := range []partition.Task{bad, large, waiting, late} {
		_, err := s.Find(t.Context(), task.ID)
		require.ErrorIs(t, err, partition.ErrNotFound)
	}
}

func TestStore_RefusedRowsOfALargeBatch(t *testing.T) {
	s, _ := storeOn(t)
	tasks := tasksOf(0, 700)
	require.NoError(t, s.Insert(t.Context(), tasks[300:350]))
	_, err := s.pool.Exec(t.Context(), `ALTER TABLE finished_tasks ADD CONSTRAINT no_bad CHECK (agent <> 'bad')`)
	require.NoError(t, err)
	offered, stored := slices.Clone(tasks), slices.Clone(tasks)
	bad := []int{0, 1, 150, 320, 699} // the last but one has an older end in the table, which stays
	for _, i := range bad {
		offered[i].Agent, offered[i].Finished = "bad", offered[i].Finished+1
	}
	stored[330].Agent, stored[330].Finished = "agent-8", stored[330].Finished+1
	offered[330] = stored[330]
	require.NoError(t, s.Insert(t.Context(), offered))
	require.EqualValues(t, len(bad), s.Refused())
	for i, task := range stored {
		if slices.Contains(bad, i) && i != 320 {
			_, err := s.Find(t.Context(), task.ID)
			require.ErrorIs(t, err, partition.ErrNotFound)
			continue
		}
		requireStored(t, s, task)
	}
}

// A newer schema may have other types: a batch is stored all the same.
func TestStore_OtherTypesAreNoRefusal(t *testing.T) {
	for _, change := range []string{
		`ALTER priority TYPE integer, ADD later text`, `ALTER attempt TYPE smallint`, `ALTER capabilities TYPE varchar[]`,
	} {
		t.Run(change, func(t *testing.T) {
			s, _ := storeOn(t)
			_, err := s.pool.Exec(t.Context(), `ALTER TABLE finished_tasks `+change)
			require.NoError(t, err)
			tasks := tasksOf(0, 20)
			require.NoError(t, s.Insert(t.Context(), tasks))
			require.Zero(t, s.Refused())
			requireStored(t, s, tasks...)
		})
	}
}

// An orchestrator may be newer than the schema for a while: what the old schema does
// not know is kept waiting, not thrown away.
func TestStore_OlderSchemaIsNoRefusal(t *testing.T) {
	s, dsn := storeOn(t)
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), `ALTER TABLE finished_tasks DROP CONSTRAINT finished_tasks_state_check,
  ADD CONSTRAINT finished_tasks_state_check CHECK (state IN ('completed', 'dead'))`)
	require.NoError(t, err)
	cancelled := taskOf(1)
	cancelled.Phase = partition.Cancelled
	require.ErrorContains(t, s.Insert(t.Context(), []partition.Task{cancelled}), "hive up")
	require.ErrorContains(t, s.Insert(t.Context(), []partition.Task{taskOf(2), cancelled, taskOf(3)}), "hive up")
	require.Zero(t, s.Refused())
}

// away keeps everybody out of the database at dsn, as if it were down; the answer lets
// them in again.
func away(t *testing.T, dsn string) (back func()) {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	name := cfg.Database
	cfg.Database = "postgres"
	exec := func(sql string, args ...any) {
		t.Helper()
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		require.NoError(t, err)
		defer conn.Close(context.WithoutCancel(t.Context()))
		_, err = conn.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	exec("ALTER DATABASE " + name + " ALLOW_CONNECTIONS false")
	exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
	return func() { t.Helper(); exec("ALTER DATABASE " + name + " ALLOW_CONNECTIONS true") }
}

func TestStore_AwayAndBack(t *testing.T) {
	s, dsn := storeOn(t)
	task := taskOf(1)
	require.NoError(t, s.Insert(t.Context(), []partition.Task{task}))
	back := away(t, dsn)
	var unreachable *UnreachableError
	_, err := s.Find(t.Context(), task.ID)
	require.ErrorAs(t, err, &unreachable)
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg, "the cause is kept")
	require.Error(t, s.Insert(t.Context(), []partition.Task{taskOf(2)}))
	require.Error(t, s.Ping(t.Context()))
	require.Zero(t, s.Refused())
	back()
	require.Eventually(t, func() bool {
		got, err := s.Find(t.Context(), task.ID)
		return err == nil && got.ID == task.ID
	}, patient, 20*time.Millisecond)
	require.NoError(t, s.Ping(t.Context()))
}

func TestStore_StartsWithoutPostgreSQL(t *testing.T) {
	s, err := NewStore(t.Context(), "postgres://leanvibe@127.0.0.1:1/none?sslmode=disable", "secret", "test")
	require.NoError(t, err)
	defer s.Close()
	var unreachable *UnreachableError
	_, err = s.Find(t.Context(), uuid.New())
	require.ErrorAs(t, err, &unreachable)
	require.NotContains(t, err.Error(), "secret")

	_, err = NewStore(t.Context(), "postgres://%", "", "test")
	require.ErrorContains(t, err, "HIVE_POSTGRES_DSN")
}

func TestStore_PingWithoutSchema(t *testing.T) {
	s, err := NewStore(t.Context(), apptest.Database(t), "", "test")
	require.NoError(t, err)
	defer s.Close()
	require.ErrorContains(t, s.Ping(t.Context()), "hive up")
	require.Error(t, s.Insert(t.Context(), []partition.Task{taskOf(1)}))
	require.Zero(t, s.Refused(), "a missing table is no task's fault")
}

func TestErrors_SayTheWayOut(t *testing.T) {
	require.Contains(t, (&UnreachableError{context.DeadlineExceeded}).Error(), "try again")
	require.True(t, strings.HasPrefix((&BoundsError{"priority", 70000, 0, 32767}).Error(), "priority is 70000"))
}
