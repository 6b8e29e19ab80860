package archive

import (
	"context"
	"fmt"
	"math"
	"strings"
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
func storeOn(t *testing.T) (*Store, string) {
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

func TestStore_OddText(t *testing.T) {
	s, _ := storeOn(t)
	odd := taskOf(1)
	odd.Error, odd.Key, odd.Capabilities = "a\x00b\xffc", "\xfe", []string{"\x00"}
	require.NoError(t, s.Insert(t.Context(), []partition.Task{odd}))
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
	for _, task := range tasks {
		_, err := s.Find(t.Context(), task.ID)
		require.NoError(t, err)
	}
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
