package postgres

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

const invalid = "SELECT count(*) FROM pg_index WHERE NOT (indisvalid AND indisready)"

// writers load a table until stop, and tell the worst time and the errors. Who waits
// for a lock for a second is an error: PostgreSQL itself says so, so that a busy
// machine is not taken for a blocked query.
func (b *bench) writers(table string) (stop func() (worst time.Duration, statements, failed int64)) {
	var slowest, done, bad atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, 4)
	for w := range cap(ended) {
		c := b.open("user")
		_, err := c.Exec(context.Background(), "SET lock_timeout = '1s'")
		require.NoError(b.t, err)
		go func() {
			defer func() { ended <- struct{}{} }()
			for i := w; ctx.Err() == nil; i += cap(ended) {
				start := time.Now()
				_, err := c.Exec(context.Background(), "INSERT INTO "+table+" VALUES ($1, 'new') ON CONFLICT (id) DO UPDATE SET note = excluded.note", 1+i%150000)
				if err == nil {
					_, err = c.Exec(context.Background(), "SELECT * FROM "+table+" WHERE id = $1", 1+i%150000)
				}
				if err != nil {
					bad.Add(1)
				}
				done.Add(2)
				for took := int64(time.Since(start)); ; {
					was := slowest.Load()
					if took <= was || slowest.CompareAndSwap(was, took) {
						break
					}
				}
			}
		}()
	}
	return func() (time.Duration, int64, int64) {
		cancel()
		for range cap(ended) {
			<-ended
		}
		return time.Duration(slowest.Load()), done.Load(), bad.Load()
	}
}

func TestOnlyTheBloatedIndexIsRebuiltAndNobodyWaits(t *testing.T) {
	b := newBench(t)
	b.bloated("hollow")
	b.exec("CREATE INDEX hollow_note ON hollow (note)") // fresh, so dense
	dense := one[uint32](b, "SELECT 'hollow_note'::regclass::oid")
	stop := b.writers("hollow")

	out, err := run(t, runbook.RebuildIndex, b.hand.RebuildIndex, b.maintain("hollow", "hollow_pkey"), attempt{})
	require.NoError(t, err)
	require.Equal(t, "done", out.Outcome)
	require.True(t, out.Changed)
	require.Less(t, out.BytesAfter, out.BytesBefore)
	require.Greater(t, out.DensityTo, 60.0)
	vacuum, err := run(t, runbook.VacuumTable, b.hand.VacuumTable, b.maintain("hollow", ""), attempt{})
	require.NoError(t, err)
	require.Equal(t, "done", vacuum.Outcome, vacuum.Why)

	same, err := run(t, runbook.RebuildIndex, b.hand.RebuildIndex, b.maintain("hollow", "hollow_note"), attempt{})
	require.NoError(t, err)
	require.Equal(t, "skipped", same.Outcome)
	require.Contains(t, same.Why, "not bloated any more")
	require.Equal(t, dense, one[uint32](b, "SELECT 'hollow_note'::regclass::oid"))

	worst, statements, failed := stop()
	require.Zero(t, failed)
	require.Greater(t, statements, int64(100), "the load was real")
	t.Logf("%d statements, slowest pair %s", statements, worst)
	require.Zero(t, one[int](b, invalid))
	b.exec("SELECT bt_index_check('hollow_pkey', true)")
	b.gone()
}

// gone says that no session of the hand is left.
func (b *bench) gone() {
	b.t.Helper()
	b.eventually("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'hive' OR application_name LIKE $1)", b.t.Name()+"%")
}

func TestRebuildIsSkippedNamingTheOldTransaction(t *testing.T) {
	b := newBench(t)
	b.bloated("hollow")
	b.exec("CREATE TABLE other (id int)")
	end := b.began("analyst", "SELECT count(*), 'geheim' FROM other")
	defer end()
	b.eventually("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'analyst' AND xact_start < now() - interval '60 ms')")
	in := b.maintain("hollow", "hollow_pkey")
	in.Database.LongTransaction = runbook.Duration(50 * time.Millisecond)
	out, err := run(t, runbook.RebuildIndex, b.hand.RebuildIndex, in, attempt{})
	require.NoError(t, err)
	require.Equal(t, "skipped", out.Outcome)
	require.NotNil(t, out.Blocker)
	require.Equal(t, "analyst", out.Blocker.Application)
	require.Positive(t, out.Blocker.PID)
	require.Positive(t, out.Blocker.Age)
	require.Equal(t, "SELECT count(*), ? FROM other", out.Blocker.Text)
	require.Contains(t, out.Why, "blocked by pid ")
	require.Zero(t, one[int](b, invalid))
}

// A transaction that is young at the start and does not end is no reason to hang.
func TestRebuildThatComesToWaitIsGivenUpAndItsLeftoverDroppedLater(t *testing.T) {
	b := newBench(t)
	b.bloated("hollow")
	in := b.maintain("hollow", "hollow_pkey")
	in.Database.LongTransaction = runbook.Duration(2 * time.Second)
	var end func()
	b.hand.FreeDisk = func(context.Context, string, string) (int64, error) { // it looks for old transactions before
		end = b.began("analyst", "SELECT count(*) FROM hollow")
		return 1 << 40, nil
	}
	out, err := run(t, runbook.RebuildIndex, b.hand.RebuildIndex, in, attempt{})
	require.NoError(t, err)
	require.Equal(t, "skipped", out.Outcome)
	require.Equal(t, "analyst", out.Blocker.Application)

	s, err := b.hand.Observe(context.Background(), b.in)
	require.NoError(t, err)
	require.Len(t, s.Leftovers, 1)
	require.Equal(t, "hollow_pkey_ccnew", s.Leftovers[0].Name)
	in.Index = "hollow_pkey_ccnew"
	out, err = run(t, runbook.DropLeftover, b.hand.DropLeftover, in, attempt{})
	require.NoError(t, err)
	require.Equal(t, "skipped", out.Outcome, "its transaction is still there")
	require.NotNil(t, out.Blocker)
	end()
	out, err = run(t, runbook.DropLeftover, b.hand.DropLeftover, in, attempt{})
	require.NoError(t, err)
	require.Equal(t, "done", out.Outcome, out.Why)
	require.True(t, out.Changed)
	require.Zero(t, one[int](b, invalid))
	b.gone()
}

func TestTheWindowEndsHardAndNothingIsLeft(t *testing.T) {
	b := newBench(t)
	b.bloated("hollow")
	b.exec("CREATE TABLE other (id int)")
	end := b.began("analyst", "SELECT count(*) FROM other") // the rebuild waits for its snapshot
	defer end()
	in := b.maintain("hollow", "hollow_pkey")
	in.Until = time.Now().Add(1500 * time.Millisecond)
	out, err := run(t, runbook.RebuildIndex, b.hand.RebuildIndex, in, attempt{})
	require.NoError(t, err)
	require.Equal(t, "stopped", out.Outcome)
	require.False(t, out.Changed)
	require.Zero(t, one[int](b, invalid))
	b.gone()

	for _, act := range []func() (runbook.Maintained, error){
		func() (runbook.Maintained, error) {
			return run(t, runbook.RebuildIndex, b.hand.RebuildIndex, in, attempt{})
		},
		func() (runbook.Maintained, error) {
			return run(t, runbook.VacuumTable, b.hand.VacuumTable, in, attempt{})
		},
	} {
		out, err := act()
		require.NoError(t, err)
		require.Equal(t, "stopped", out.Outcome, "nothing begins after the window")
	}
}

func TestCancelStopsTheBackendAndCleans(t *testing.T) {
	b := newBench(t)
	b.bloated("hollow")
	b.exec("CREATE TABLE other (id int)")
	end := b.began("analyst", "SELECT count(*) FROM other")
	defer end()
	in := b.maintain("hollow", "hollow_pkey")
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		b.eventually("SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%')")
	}()
	_, err := run(t, runbook.RebuildIndex, b.hand.RebuildIndex, in, attempt{ctx: ctx})
	require.Error(t, err)
	require.Empty(t, runbook.KindOf(err), "a cancellation is no failure")
	require.Zero(t, one[int](b, invalid))
	require.Zero(t, one[int](b, "SELECT count(*) FROM pg_stat_progress_create_index"))
	b.gone()
}

func TestABuildOfSomebodyElseIsNeverTouched(t *testing.T) {
	b := newBench(t)
	b.bloated("hollow")
	b.exec("CREATE INDEX hollow_note ON hollow (note); CREATE TABLE other (id int)")
	end := b.began("analyst", "SELECT count(*) FROM other")
	team := b.open("another team")
	built := make(chan error, 1)
	go func() {
		_, err := team.PgConn().Exec(context.Background(), "REINDEX TABLE CONCURRENTLY hollow").ReadAll()
		built <- err
	}()
	b.eventually("SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%')")

	s, err := b.hand.Observe(context.Background(), b.in)
	require.NoError(t, err)
	require.Empty(t, s.Leftovers, "a build's copies are no leftovers")
	copies := one[[]string](b, "SELECT array_agg(indexrelid::regclass::text) FROM pg_index WHERE NOT indisvalid AND indrelid = 'hollow'::regclass")
	require.NotEmpty(t, copies)
	for _, name := range copies {
		out, err := run(t, runbook.DropLeftover, b.hand.DropLeftover, b.maintain("hollow", name), attempt{})
		require.NoError(t, err)
		require.Equal(t, "skipped", out.Outcome)
	}
	out, err := run(t, runbook.RebuildIndex, b.hand.RebuildIndex, b.maintain("hollow", "hollow_pkey"), attempt{})
	require.NoError(t, err)
	require.Equal(t, "skipped", out.Outcome)
	require.Equal(t, "another team", out.Blocker.Application)
	end()
	require.NoError(t, <-built)
	require.Zero(t, one[int](b, invalid))
}

func TestDropLeftoverDropsOnlyLeftovers(t *testing.T) {
	b := newBench(t)
	b.exec("CREATE TABLE doubled (id int); INSERT INTO doubled VALUES (1), (1); CREATE INDEX fine_ccnew ON doubled (id)")
	_, err := b.conn.PgConn().Exec(context.Background(), "CREATE UNIQUE INDEX CONCURRENTLY theirs ON doubled (id)").ReadAll()
	require.Error(t, err)
	for index, why := range map[string]string{"theirs": "no rebuild left it", "fine_ccnew": "it is valid"} {
		out, err := run(t, runbook.DropLeftover, b.hand.DropLeftover, b.maintain("doubled", index), attempt{})
		require.NoError(t, err)
		require.Equal(t, "skipped", out.Outcome)
		require.Contains(t, out.Why, why)
	}
	out, err := run(t, runbook.DropLeftover, b.hand.DropLeftover, b.maintain("doubled", "gone_ccold"), attempt{})
	require.NoError(t, err)
	require.Equal(t, runbook.Maintained{Outcome: "done"}, out)
}

func TestRebuildNeedsRoomOnTheDisk(t *testing.T) {
	b := newBench(t)
	b.bloated("hollow")
	b.hand.FreeDisk = func(context.Context, string, string) (int64, error) { return 1000, nil }
	out, err := run(t, runbook.RebuildIndex, b.hand.RebuildIndex, b.maintain("hollow", "hollow_pkey"), attempt{})
	require.NoError(t, err)
	require.Equal(t, "skipped", out.Outcome)
	require.Contains(t, out.Why, "1000 bytes are free on the disk and a rebuild needs ")
}

func TestVacuum(t *testing.T) {
	b := newBench(t)
	b.exec("CREATE TABLE plain (id int, note text) WITH (autovacuum_enabled = false); INSERT INTO plain SELECT g, 'x' FROM generate_series(1, 20000) g; DELETE FROM plain WHERE id % 2 = 0")
	file := one[uint32](b, "SELECT pg_relation_filenode('plain')")

	end := b.began("locker", "LOCK TABLE plain IN SHARE MODE")
	out, err := run(t, runbook.VacuumTable, b.hand.VacuumTable, b.maintain("plain", ""), attempt{})
	require.NoError(t, err)
	require.Equal(t, "skipped", out.Outcome)
	require.Contains(t, out.Why, "lock not available")
	require.Equal(t, "locker", out.Blocker.Application)
	end()

	out, err = run(t, runbook.VacuumTable, b.hand.VacuumTable, b.maintain("plain", ""), attempt{})
	require.NoError(t, err)
	require.Equal(t, "done", out.Outcome)
	require.True(t, out.Changed)
	require.Zero(t, one[int64](b, "SELECT dead_tuple_count FROM pgstattuple_approx('plain')"))
	require.Equal(t, file, one[uint32](b, "SELECT pg_relation_filenode('plain')"), "the file is the same: it was no VACUUM FULL")
	require.True(t, one[bool](b, "SELECT last_analyze IS NOT NULL FROM pg_stat_user_tables WHERE relname = 'plain'"))

	out, err = run(t, runbook.VacuumTable, b.hand.VacuumTable, b.maintain("gone", ""), attempt{})
	require.NoError(t, err)
	require.Equal(t, "skipped", out.Outcome)
	b.gone()
}

// A vacuum of a killed worker goes on by itself; the retry waits, then finds it done.
func TestARetryAdoptsAVacuum(t *testing.T) {
	b := newBench(t)
	b.exec("CREATE TABLE plain (id int) WITH (autovacuum_enabled = false); INSERT INTO plain SELECT generate_series(1, 2000); DELETE FROM plain WHERE id % 2 = 0")
	end := b.began("reader", "DECLARE reading CURSOR FOR SELECT * FROM plain; FETCH reading") // a vacuum that freezes waits for the page
	in := b.maintain("plain", "")
	dead := b.open(sessionName(in.Session))
	begin(t, dead, "VACUUM (FREEZE, ANALYZE) plain")
	b.eventually("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'BufferPin')", sessionName(in.Session))
	require.NoError(t, dead.PgConn().Conn().Close())
	// The first heartbeat says that the predecessor was found.
	out, err := run(t, runbook.VacuumTable, b.hand.VacuumTable, in, attempt{beat: sync.OnceFunc(end)})
	require.NoError(t, err)
	require.Equal(t, "adopted", out.Outcome)
	require.EqualValues(t, 1, one[int64](b, "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'plain'"))
}

func TestALongSessionNameIsFoundAgain(t *testing.T) {
	one, two := strings.Repeat("w", 80)+"1", strings.Repeat("w", 80)+"2"
	require.Len(t, sessionName(one), nameMax)
	require.NotEqual(t, sessionName(one), sessionName(two))
	require.Equal(t, "short", sessionName("short"))
}
