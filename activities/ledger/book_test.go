package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

func outcomes(rows []Row) string {
	var out []string
	for _, r := range rows {
		out = append(out, string(r.Outcome))
	}
	return strings.Join(out, " ")
}

func TestARowSaysWhatWasDone(t *testing.T) {
	b := newBench(t)
	book, _ := b.open()
	do(t, book, anAct(1), Result{Took: 1500 * time.Millisecond, Changed: yes()})
	rows := b.rows()
	require.Equal(t, "started done", outcomes(rows))
	r := rows[1]
	require.Equal(t, anAct(1), r.Act)
	require.Equal(t, []any{int64(2), rows[0].Hash, int64(1500), true, ""}, []any{r.Seq, r.Prev, r.DurationMS, *r.Changed, r.Kind})
	require.WithinDuration(t, time.Now(), r.At, time.Minute)
	require.Equal(t, rows[0].Key, r.Key)
	b.sound()
	require.Equal(t, Head{Seq: 2, Hash: r.Hash}, book.Head())
	head, err := book.ReadHead(t.Context(), runbook.LedgerInput{})
	require.NoError(t, err)
	require.Equal(t, runbook.LedgerHead{Seq: 2, Hash: r.Hash.String()}, head)
}

func TestAnEffectIsSettledOnce(t *testing.T) {
	again := func(a Act, attempt int32) Act { a.Attempt = attempt; return a }
	for _, c := range []struct {
		name string
		acts func(t *testing.T, book *Book)
		want string
	}{
		{"a retry finds it done", func(t *testing.T, book *Book) {
			require.NoError(t, book.Begin(t.Context(), anAct(1))) // and the worker was killed
			do(t, book, again(anAct(1), 2), Result{Changed: no()})
		}, "started started adopted"},
		{"the reply got lost", func(t *testing.T, book *Book) {
			do(t, book, anAct(1), Result{Changed: yes()})
			do(t, book, again(anAct(1), 2), Result{Changed: no()})
			do(t, book, again(anAct(1), 3), Result{Changed: yes()})
		}, "started done started confirmed started confirmed"},
		{"failed, then done", func(t *testing.T, book *Book) {
			do(t, book, anAct(1), Result{Err: runbook.Fail(runbook.Busy, "locked")})
			do(t, book, again(anAct(1), 2), Result{Changed: yes()})
		}, "started failed started done"},
		{"nothing to do", func(t *testing.T, book *Book) {
			do(t, book, anAct(1), Result{Changed: no()})
		}, "started done"},
		{"refused, canceled", func(t *testing.T, book *Book) {
			do(t, book, anAct(1), Result{Err: runbook.Fail(runbook.Unsafe, "no")})
			do(t, book, anAct(2), Result{Err: context.Canceled})
			do(t, book, anAct(3), Result{Err: os.ErrClosed})
		}, "started refused started canceled started failed"},
		{"the second time of the same step is another effect", func(t *testing.T, book *Book) {
			do(t, book, anAct(1), Result{Changed: yes()})
			second := anAct(1)
			second.Nth = 2
			do(t, book, second, Result{Changed: yes()})
		}, "started done started done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			book, _ := b.open()
			c.acts(t, book)
			require.Equal(t, c.want, outcomes(b.rows()))
			b.sound()
		})
	}
}

func TestTextsComeBackAsTheyWent(t *testing.T) {
	b := newBench(t)
	book, _ := b.open()
	a := anAct(1)
	a.Target = "nul \x00, not UTF-8 \xff, long " + strings.Repeat("ä", 400)
	a.RequestedBy = "Robert'); DROP TABLE ledger.rows;--"
	do(t, book, a, Result{Changed: yes()})
	rows := b.rows()
	require.Len(t, rows, 2)
	require.LessOrEqual(t, len(rows[0].Target), textMax)
	require.True(t, strings.HasPrefix(rows[0].Target, "nul �, not UTF-8 �, long ää"), rows[0].Target)
	require.Equal(t, a.RequestedBy, rows[0].RequestedBy)
	require.Equal(t, rows[0].Key, rows[0].Act.key(), "the key is that of the row as it stands")
	b.sound()
}

// The database never sees the key, and its role has no way to change a row.
func TestTheRoleOnlyAdds(t *testing.T) {
	b := newBench(t)
	book, _ := b.open()
	do(t, book, anAct(1), Result{Changed: yes()})
	cfg, err := b.connection()
	require.NoError(t, err)
	for _, sql := range []string{
		`UPDATE ledger.rows SET target = 'other'`, `DELETE FROM ledger.rows`, `TRUNCATE ledger.rows`, `DELETE FROM ledger.head`,
		`INSERT INTO ledger.head (single, seq, hash, mac) VALUES (false, 1, '', '')`, `DROP TABLE ledger.rows`,
		`ALTER TABLE ledger.rows DISABLE TRIGGER ALL`, `SET session_replication_role = replica`,
	} {
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), sql)
		require.ErrorContains(t, err, "42501", sql)
		conn.Close(t.Context())
	}
	owner, err := pgx.Connect(t.Context(), b.owner)
	require.NoError(t, err)
	defer owner.Close(context.WithoutCancel(t.Context()))
	for _, sql := range []string{`UPDATE ledger.rows SET target = 'other'`, `DELETE FROM ledger.rows`, `TRUNCATE ledger.rows`} {
		_, err = owner.Exec(t.Context(), sql)
		require.ErrorContains(t, err, "append-only", sql)
	}
	b.sound()
}

// recordMany records acts by many at once and answers the ids of the ends, in the
// order in which each of them was acknowledged.
func recordMany(t *testing.T, book *Book, from, workers, each int) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				a := anAct(from + w*each + i)
				if err := book.Begin(context.Background(), a); err != nil {
					t.Errorf("begin: %v", err)
					return
				}
				if err := book.End(context.Background(), a, Result{Changed: yes()}); err != nil {
					t.Errorf("end: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// complete asks that each of n acts stands there once, started before done.
func complete(t *testing.T, rows []Row, n int) {
	t.Helper()
	started, done := map[string]int64{}, map[string]int64{}
	for _, r := range rows {
		switch r.Outcome {
		case Started:
			require.Zero(t, started[r.Target], r.Target)
			started[r.Target] = r.Seq
		case Done:
			require.Zero(t, done[r.Target], r.Target)
			done[r.Target] = r.Seq
		default:
			t.Fatalf("row %d: %s", r.Seq, r.Outcome)
		}
	}
	require.Len(t, started, n)
	require.Len(t, done, n)
	for target, seq := range done {
		require.Less(t, started[target], seq, target)
	}
}

func TestManyAtOnce(t *testing.T) {
	b := newBench(t)
	book, _ := b.open()
	recordMany(t, book, 0, 32, 20)
	complete(t, b.rows(), 640)
	b.sound()
}

// Whatever is lost of the way to the database, and whenever, each row is there
// once, in the order in which it was acknowledged.
func TestTheDatabaseGoesAndComes(t *testing.T) {
	b := newBench(t)
	book, stop := b.open()
	recordMany(t, book, 0, 4, 10)
	done := make(chan struct{})
	var outages atomic.Int64
	acts := 40
	go func() {
		defer close(done)
		for from := 100; from == 100 || outages.Load() <= 3; from += 8 * 400 {
			recordMany(t, book, from, 8, 400)
			acts += 8 * 400
		}
	}()
	for running := true; running; outages.Add(1) {
		wait := time.After(time.Duration(rand.IntN(40)) * time.Millisecond)
		select {
		case <-done:
			running = false
		case <-wait:
			// Mute first: transactions are committed whose answer never comes.
			b.wire.set(false, true)
			<-time.After(time.Duration(rand.IntN(5)) * time.Millisecond)
			b.wire.set(true, false)
			<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond)
			b.wire.set(false, false)
		}
	}
	b.settle(book)
	rows := b.rows()
	complete(t, rows, acts)
	b.sound()
	stop()
	info, err := os.Stat(filepath.Join(b.state(), spoolFile))
	require.NoError(t, err)
	require.Zero(t, info.Size())
}

func TestWithoutADatabaseTheRunGoesOn(t *testing.T) {
	b := newBench(t)
	b.wire.set(true, false)
	book, stop := b.open()
	const acts = 60
	begun := time.Now()
	for n := range acts {
		do(t, book, anAct(n), Result{Changed: yes()})
	}
	require.Less(t, time.Since(begun), acts*redialMin, "no act waits for the database, not even for the next try")
	require.Equal(t, 2*acts, book.Head().Spooled)
	within(t, "it is said", func() bool { return book.Away() != nil })
	require.ErrorContains(t, book.Away(), "does not answer")
	stop()

	// Another process finds the rows; the database is back.
	b.wire.set(false, false)
	require.Equal(t, 2*acts, b.verdict().Spooled)
	book, _ = b.open()
	do(t, book, anAct(acts), Result{Changed: yes()})
	b.settle(book)
	rows := b.rows()
	complete(t, rows, acts+1)
	for n := range acts {
		require.Equal(t, fmt.Sprintf("leanvibe-communication-hub-%d", n), rows[2*n].Target, "in order")
	}
	b.sound()
}

// A database that takes connections and never answers holds an act up for as long
// as one transaction may take, and only the first.
func TestADatabaseThatHangs(t *testing.T) {
	b := newBench(t)
	book, _ := b.open()
	do(t, book, anAct(0), Result{Changed: yes()})
	b.wire.set(false, true)
	begun := time.Now()
	do(t, book, anAct(1), Result{Changed: yes()})
	for n := range 20 {
		do(t, book, anAct(2+n), Result{Changed: yes()})
	}
	require.Less(t, time.Since(begun), 10*writeMax, "had each waited, it would be 20 times as long")
	b.wire.set(true, false)
	b.wire.set(false, false)
	b.settle(book)
	complete(t, b.rows(), 22)
	b.sound()
}

// A retry whose first attempt waits in the spool, or is in the database already
// without anybody knowing, settles the effect no second time.
func TestSettledOnceAcrossAnOutage(t *testing.T) {
	b := newBench(t)
	book, _ := b.open()
	do(t, book, anAct(0), Result{Changed: yes()})
	b.wire.set(true, false)
	again := anAct(0)
	again.Attempt = 2
	do(t, book, again, Result{Changed: no()})
	do(t, book, anAct(1), Result{Changed: yes()})
	second := anAct(1)
	second.Attempt = 2
	do(t, book, second, Result{Changed: no()})
	b.wire.set(false, false)
	b.settle(book)
	require.Equal(t, "started done started confirmed started done started confirmed", outcomes(b.rows()))
	b.sound()
}

// What somebody does to the database while the ledger writes stays visible, also
// when rows come after it.
func TestACutTailIsNotWrittenOver(t *testing.T) {
	for _, c := range []struct{ name, sql, want string }{
		{"tail cut, head set back", `DELETE FROM ledger.rows WHERE seq > 6;
			UPDATE ledger.head SET (seq, hash) = (SELECT seq, hash FROM ledger.rows WHERE seq = 6)`, "was not written with the ledger's key"},
		{"tail cut", `DELETE FROM ledger.rows WHERE seq > 6`, ""},
		{"all gone", `DELETE FROM ledger.rows; UPDATE ledger.head SET seq = 0, hash = decode(repeat('00', 32), 'hex'), mac = ''`, "the head is row 0, but row 10"},
		{"head edited", `UPDATE ledger.head SET seq = 9`, "was not written with the ledger's key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			book, _ := b.open()
			for n := range 5 {
				do(t, book, anAct(n), Result{Changed: yes()})
			}
			b.exec(c.sql)
			do(t, book, anAct(5), Result{Changed: yes()})
			v := b.verdict()
			require.False(t, v.Sound())
			text := fmt.Sprint(v.Findings)
			require.Contains(t, text, c.want)
		})
	}
}

// What a row depends on is found by index, however large the table has grown since
// the plan was made: reading it all would make each act slower than the one before.
func TestNoRowReadsTheWholeTable(t *testing.T) {
	b := newBench(t)
	cfg, err := b.connection()
	require.NoError(t, err)
	s, err := dial(t.Context(), cfg, newSeal([]byte("key")))
	require.NoError(t, err)
	defer s.close()
	for sql, args := range map[string][]any{
		settled: {[][]byte{make([]byte, 32)}},
		present: {int64(1), []string{"019ab2d4-7f3a-7c1e-9d52-6a0f5b1c2e3d"}},
		tail:    nil,
	} {
		rows, err := s.conn.Query(t.Context(), "EXPLAIN "+sql, args...)
		require.NoError(t, err)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		text := strings.Join(plan, "\n")
		require.Contains(t, text, "Index", sql)
		require.NotContains(t, text, "Seq Scan", sql)
		require.NotContains(t, text, "JIT", sql)
	}
}
