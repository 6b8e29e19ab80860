package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

var _ Source = (*partition.Partition)(nil)

// source offers tasks as a partition does.
type source struct {
	mu    sync.Mutex
	tasks []partition.Task
	err   error // what it answers instead
	most  int   // the most that was asked for
	last  int   // what was asked for last
}

func (s *source) Unarchived(_ context.Context, archived, most, bytes int) ([]partition.Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if most > 0 {
		s.most, s.last = max(s.most, most), most
	}
	s.tasks = s.tasks[archived:]
	n := 0
	for n < min(most, len(s.tasks)) && bytes > 0 {
		bytes -= bytesOf(s.tasks[n : n+1])
		n++
	}
	return s.tasks[:n], nil
}

func (s *source) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tasks)
}

func (s *source) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// running starts the loop on sources; the answer ends it and waits.
func running(t *testing.T, l *Loop, sources ...*source) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	errs := make([]error, len(sources))
	for i, src := range sources {
		wg.Go(func() { errs[i] = l.Run(ctx, src) })
	}
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(func() {
		stop()
		require.NoError(t, errors.Join(errs...))
	})
	return stop
}

func eventually(t *testing.T, ok func() bool, what string) {
	t.Helper()
	require.Eventually(t, ok, patient, 5*time.Millisecond, what)
}

func TestLoop_SeveralPartitionsAtOnce(t *testing.T) {
	store, _ := storeOn(t)
	dir, c := t.TempDir(), clockAt("2026-11-29T15:30:00Z")
	segments := openIn(t, dir, "orch-1", c, 0)
	var archived, failed atomic.Int64
	l := &Loop{
		Store: store, Segments: segments, Idle: time.Millisecond, Retry: time.Millisecond,
		OnArchived: func(n int) { archived.Add(int64(n)) }, OnError: func() { failed.Add(1) },
	}
	sources := []*source{{tasks: tasksOf(0, 2*batchMost+100)}, {tasks: tasksOf(20_000, 500)}, {tasks: tasksOf(30_000, 7)}, {}}
	var all []partition.Task
	for _, src := range sources {
		all = append(all, src.tasks...)
	}
	stop := running(t, l, sources...)
	eventually(t, func() bool { return archived.Load() == int64(len(all)) }, "all are archived")
	stop()
	require.Zero(t, failed.Load())
	require.Equal(t, batchMost, sources[0].most)
	require.NoError(t, segments.Close())
	seen := map[partition.TaskID]int{}
	for _, task := range readAll(t, filepath.Join(dir, "finished-2026-11-29T15Z-orch-1.ndjson.zst")) {
		seen[task.ID]++
	}
	require.Len(t, seen, len(all))
	for _, task := range all {
		require.Equal(t, 1, seen[task.ID], "each once")
	}
	var rows int
	require.NoError(t, store.pool.QueryRow(t.Context(), `SELECT count(*) FROM finished_tasks`).Scan(&rows))
	require.Equal(t, len(all), rows)
}

func TestLoop_PausesTheShorterTheFullerABatchIs(t *testing.T) {
	store, _ := storeOn(t)
	var sizes []int
	l := &Loop{Store: store, Idle: time.Hour, OnArchived: func(n int) { sizes = append(sizes, n) }}
	large := tasksOf(0, 5)
	for i := range large {
		large[i].Payload = make([]byte, batchBytes/2)
	}
	src := &source{tasks: append(large, tasksOf(5, 10)...)}
	archived := 0
	for _, c := range []struct {
		most int
		want time.Duration
	}{
		{8, 0}, {8, 0}, // more than fits by its bytes
		{8, 0},                 // full
		{20, 51 * time.Minute}, // 3 of 20
		{20, time.Hour},
	} {
		wait, err := l.step(t.Context(), src, &archived, c.most)
		require.NoError(t, err)
		require.Equal(t, c.want, wait)
	}
	require.Equal(t, []int{2, 2, 8, 3}, sizes)
	require.Zero(t, archived)
}

func TestLoop_PostgreSQLAwayAndBack(t *testing.T) {
	store, dsn := storeOn(t)
	back := away(t, dsn)
	var failed atomic.Int64
	src := &source{tasks: tasksOf(0, 3)}
	want := src.tasks
	l := &Loop{Store: store, Idle: time.Millisecond, Retry: time.Millisecond, OnError: func() { failed.Add(1) }}
	running(t, l, src)
	eventually(t, func() bool { return failed.Load() >= 3 }, "it tries again and again")
	require.Equal(t, 3, src.left(), "nothing is confirmed that PostgreSQL has not")
	eventually(t, func() bool { return src.asked() == batchLeast }, "what fails is tried in smaller batches")
	back()
	eventually(t, func() bool { return src.left() == 0 }, "it goes on when PostgreSQL is back")
	eventually(t, func() bool { return src.asked() == batchMost }, "batches grow again")
	for _, task := range want {
		_, err := store.Find(t.Context(), task.ID)
		require.NoError(t, err)
	}
}

func TestLoop_FullDirectoryConfirmsNothing(t *testing.T) {
	store, _ := storeOn(t)
	dir, c := t.TempDir(), clockAt("2026-11-29T15:30:00Z")
	segments := openIn(t, dir, "orch-1", c, 0)
	require.NoError(t, segments.Append(tasksOf(0, 1)))
	segments.open.writeAt = full
	var failed atomic.Int64
	src := &source{tasks: tasksOf(1, 3)}
	l := &Loop{Store: store, Segments: segments, Idle: time.Millisecond, Retry: time.Millisecond, OnError: func() { failed.Add(1) }}
	running(t, l, src)
	eventually(t, func() bool { return failed.Load() >= 3 }, "it tries again and again")
	require.Equal(t, 3, src.left(), "nothing is confirmed that the segments have not")
	segments.mu.Lock()
	segments.open.writeAt = (*os.File).WriteAt
	segments.mu.Unlock()
	eventually(t, func() bool { return src.left() == 0 }, "it goes on when there is space")
	require.NoError(t, segments.Close())
	require.Len(t, readAll(t, filepath.Join(dir, "finished-2026-11-29T15Z-orch-1.ndjson.zst")), 4)
}

func TestLoop_RefusedRowIsConfirmedAndInTheSegments(t *testing.T) {
	store, _ := storeOn(t)
	dir, c := t.TempDir(), clockAt("2026-11-29T15:30:00Z")
	segments := openIn(t, dir, "orch-1", c, 0)
	src := &source{tasks: tasksOf(0, 3)}
	src.tasks[1].Priority = 1 << 20
	running(t, &Loop{Store: store, Segments: segments, Idle: time.Millisecond}, src)
	eventually(t, func() bool { return src.left() == 0 }, "the archive goes on")
	require.EqualValues(t, 1, store.Refused())
	require.NoError(t, segments.Close())
	require.Len(t, readAll(t, filepath.Join(dir, "finished-2026-11-29T15Z-orch-1.ndjson.zst")), 3)
}

func TestLoop_EndsQuietlyWithThePartition(t *testing.T) {
	store, _ := storeOn(t)
	l := &Loop{Store: store, Idle: time.Millisecond, OnError: func() { t.Error("a lost partition is no error") }}
	require.NoError(t, l.Run(t.Context(), &source{err: partition.ErrLost}))
	src := &source{tasks: tasksOf(0, 1)}
	ended := make(chan error, 1)
	go func() { ended <- l.Run(t.Context(), src) }()
	eventually(t, func() bool { return src.left() == 0 }, "it is archived")
	src.fail(partition.ErrLost)
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(patient):
		require.Fail(t, "the loop goes on for a partition that is lost")
	}
}
