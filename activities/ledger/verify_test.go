package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// load puts rows into the database as they stand, by COPY, and the head behind them.
func (b *bench) load(l *table) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.owner)
	require.NoError(b.t, err)
	defer conn.Close(context.WithoutCancel(b.t.Context()))
	stream := []byte(copyHead)
	for i := range l.rows {
		stream = binary.BigEndian.AppendUint16(stream, columnCount)
		stream = append(stream, l.rows[i].tuple()...)
	}
	stream = append(stream, 0xff, 0xff)
	_, err = conn.PgConn().CopyFrom(b.t.Context(), bytes.NewReader(stream), `COPY ledger.rows (`+columns+`) FROM STDIN (FORMAT binary)`)
	require.NoError(b.t, err)
	_, err = conn.Exec(b.t.Context(), moveHead, l.head.Seq, l.head.Hash[:], l.mac[:])
	require.NoError(b.t, err)
	require.NoError(b.t, os.MkdirAll(b.state(), 0o755))
	require.NoError(b.t, writeHead(b.state(), l.key, l.file, false))
}

func TestVerifyReadsWhatTheBookWrote(t *testing.T) {
	b := newBench(t)
	require.Equal(t, Verdict{Findings: []Finding{}}, b.verdict(), "nothing is written yet")
	book, _ := b.open()
	recordMany(t, book, 0, 8, 25)
	v := b.verdict()
	require.True(t, v.Sound(), v.Findings)
	require.Equal(t, int64(400), v.Rows)
	require.Equal(t, book.Head(), v.Head)
}

// Whoever has the database's owner's password and not the key is found out, in the
// real table.
func TestTamperingsOfTheRealTable(t *testing.T) {
	b := newBench(t)
	l := newTable(60)
	b.load(l)
	b.sound()
	b.exec(`CREATE TABLE kept AS TABLE ledger.rows; CREATE TABLE kept_head AS TABLE ledger.head`)
	restore := `ALTER TABLE ledger.rows DROP CONSTRAINT IF EXISTS rows_pkey; TRUNCATE ledger.rows; INSERT INTO ledger.rows SELECT * FROM kept;
		ALTER TABLE ledger.rows ADD PRIMARY KEY (seq); TRUNCATE ledger.head; INSERT INTO ledger.head SELECT * FROM kept_head`
	columns := map[string]string{
		"prev": `set_byte(prev, 5, 9)`, "hash": `set_byte(hash, 5, 9)`, "id": `gen_random_uuid()`, "at": `at + interval '1 microsecond'`,
		"workflow": `'other'`, "run": `'other'`, "procedure": `'other'`, "step": `step || ' '`, "effect": `'read'`, "target": `'other'`,
		"nth": `nth + 1`, "effect_key": `set_byte(effect_key, 0, 9)`, "attempt": `attempt + 1`, "outcome": `'refused'`, "kind": `'Busy'`,
		"changed": `CASE WHEN changed THEN false END`, "input_digest": `set_byte(input_digest, 0, 9)`, "duration_ms": `duration_ms + 1`,
		"requested_by": `'nobody'`, "trigger": `'ui'`, "worker": `upper(worker)`,
	}
	for column, value := range columns {
		seq := 2 * (1 + rand.IntN(30)) // a row that says done
		b.exec(fmt.Sprintf(`UPDATE ledger.rows SET %s = %s WHERE seq = %d`, column, value, seq))
		require.Equal(t, fmt.Sprintf("edited %d", seq), says(b.verdict().Findings), column)
		b.exec(restore)
	}
	for _, c := range []struct{ sql, want string }{
		{`DELETE FROM ledger.rows WHERE seq = 33`, "deleted 33"},
		{`UPDATE ledger.rows SET seq = 1000 WHERE seq = 5; UPDATE ledger.rows SET seq = 5 WHERE seq = 50; UPDATE ledger.rows SET seq = 50 WHERE seq = 1000`,
			"reordered 5, reordered 50"},
		{`UPDATE ledger.rows SET seq = -seq WHERE seq >= 20; UPDATE ledger.rows SET seq = 1 - seq WHERE seq < 0;
			INSERT INTO ledger.rows SELECT 20, prev, hash, gen_random_uuid(), at, workflow, run, procedure, step, effect, 'fake', nth, sha256('x'),
			attempt, outcome, kind, changed, input_digest, duration_ms, requested_by, trigger, worker FROM kept WHERE seq = 20`,
			"inserted 20, reordered 21-61"},
		{`ALTER TABLE ledger.rows DROP CONSTRAINT rows_pkey; INSERT INTO ledger.rows SELECT * FROM kept WHERE seq = 7`, "inserted 7"},
		{`DELETE FROM ledger.rows WHERE seq > 55`, "cut 56-60"},
		{`DELETE FROM ledger.rows WHERE seq > 55; UPDATE ledger.head SET (seq, hash) = (SELECT seq, hash FROM ledger.rows WHERE seq = 55)`,
			"forged 55, cut 56-60"},
		{`UPDATE ledger.head SET seq = 61`, "forged 61"},
		{`DELETE FROM ledger.head`, "forged 0"},
		{`TRUNCATE ledger.rows`, "cut 1-60"},
		{`ALTER TABLE ledger.rows ALTER attempt TYPE bigint`, "edited 1-…"},
	} {
		b.exec(c.sql)
		got := b.verdict().Findings
		if c.want == "edited 1-…" {
			require.Len(t, got, 60)
			b.exec(`ALTER TABLE ledger.rows ALTER attempt TYPE integer`)
		} else {
			require.Equal(t, c.want, says(got), c.sql)
		}
		b.exec(restore)
	}
	b.sound()
}

// The head that a run's result carries shows a tail that was cut together with the
// head row and the head's file.
func TestHeadsThatAreGiven(t *testing.T) {
	b := newBench(t)
	l := newTable(60)
	early := newTable(0)
	early.rows = slices.Clone(l.rows[:50])
	early.head = Head{Seq: 50, Hash: l.rows[49].Hash}
	early.mac, early.file = early.key.head(early.head.Seq, early.head.Hash), early.head
	b.load(early)
	b.sound()
	require.Equal(t, "cut 51-60", says(b.verdict(Head{Seq: 60, Hash: l.head.Hash}).Findings))
	require.Equal(t, "forked 40", says(b.verdict(Head{Seq: 40, Hash: l.head.Hash}).Findings))
	require.True(t, b.verdict(Head{Seq: 40, Hash: l.rows[39].Hash}).Sound())
}

func TestTheHeadsFileIsMissed(t *testing.T) {
	b := newBench(t)
	b.load(newTable(4))
	require.NoError(t, os.Remove(filepath.Join(b.state(), headFile)))
	require.Contains(t, fmt.Sprint(b.verdict().Findings), "is gone")
	require.NoError(t, os.WriteFile(filepath.Join(b.state(), headFile), []byte("{}"), 0o600))
	require.Contains(t, fmt.Sprint(b.verdict().Findings), "was not written with the ledger's key")
}

// A writer at work makes no findings.
func TestVerifyBesideTheWriter(t *testing.T) {
	b := newBench(t)
	book, _ := b.open()
	const workers, each = 4, 10
	var acts atomic.Int64
	enough, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-enough:
				return
			default:
				recordMany(t, book, int(acts.Load()), workers, each)
				acts.Add(workers * each)
			}
		}
	}()
	finish := sync.OnceFunc(func() { close(enough); <-ended })
	t.Cleanup(finish)
	for n := 0; n < 6 || acts.Load() < 1200; n++ {
		b.sound()
		if n%3 == 2 { // spooling and catching up
			b.wire.cutConnections()
		}
	}
	finish()
	b.settle(book)
	b.sound()
}

func TestErrorsOfTheDatabase(t *testing.T) {
	b := newBench(t)
	away := b.Config
	away.Address = "127.0.0.1:1"
	_, err := Verify(t.Context(), away)
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
	require.ErrorContains(t, err, "the ledger's database at 127.0.0.1:1 does not answer")
	_, err = Show(t.Context(), away, Query{})
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
	_, err = Show(t.Context(), b.Config, Query{Outcome: "well"})
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	none := b.Config
	none.Address = b.wire.address() + "/nothing"
	_, err = Verify(t.Context(), none)
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
	require.ErrorContains(t, err, "`hive up` makes it")
	b.exec(`DROP SCHEMA ledger CASCADE`)
	_, err = Verify(t.Context(), b.Config)
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
	b.exec(`CREATE SCHEMA ledger; CREATE TABLE ledger.head (seq bigint, hash bytea, mac bytea); CREATE TABLE ledger.rows (seq bigint);
		GRANT ALL ON SCHEMA ledger TO hive_ledger; GRANT ALL ON ALL TABLES IN SCHEMA ledger TO hive_ledger`)
	_, err = Verify(t.Context(), b.Config)
	require.Equal(t, runbook.Corrupt, runbook.KindOf(err), "%v", err)
}

func TestShowChooses(t *testing.T) {
	b := newBench(t)
	book, _ := b.open()
	do(t, book, anAct(1), Result{Changed: yes()})
	other := anAct(2)
	other.Workflow, other.Procedure, other.Step, other.Target = "weekly-maintenance/log-management", "LogManagement", "hosts.DeleteLog", "logs/100%_a.log"
	do(t, book, other, Result{Err: runbook.Fail(runbook.Busy, "x")})
	all := b.rows()
	for _, c := range []struct {
		name string
		q    Query
		want []int64
	}{
		{"all", Query{}, []int64{1, 2, 3, 4}},
		{"limit", Query{Limit: 3}, []int64{2, 3, 4}},
		{"run and its children", Query{Run: "weekly-maintenance"}, []int64{1, 2, 3, 4}},
		{"child", Query{Run: "weekly-maintenance/log-management"}, []int64{3, 4}},
		{"run by workflow and run ID", Query{Run: "weekly-maintenance/" + anAct(1).Run}, []int64{1, 2}},
		{"no prefix of a name", Query{Run: "weekly"}, nil},
		{"procedure", Query{Procedure: "LogManagement"}, []int64{3, 4}},
		{"target", Query{Target: "leanvibe-communication-hub-1"}, []int64{1, 2}},
		{"target with stars", Query{Target: "*hub-*"}, []int64{1, 2}},
		{"target with LIKE's own signs", Query{Target: "logs/100%_a.log"}, []int64{3, 4}},
		{"LIKE's signs are no stars", Query{Target: "leanvibe%"}, nil},
		{"step", Query{Step: "hosts.DeleteLog"}, []int64{3, 4}},
		{"system", Query{Step: "containers"}, []int64{1, 2}},
		{"outcome", Query{Outcome: Failed}, []int64{4}},
		{"since", Query{Since: all[2].At}, []int64{3, 4}},
		{"until", Query{Until: all[2].At}, []int64{1, 2}},
		{"two conditions", Query{Outcome: Started, Step: "hosts"}, []int64{3}},
	} {
		rows, err := Show(t.Context(), b.Config, c.q)
		require.NoError(t, err)
		var got []int64
		for _, r := range rows {
			got = append(got, r.Seq)
		}
		require.Equal(t, c.want, got, c.name)
	}
}

// BenchmarkVerify verifies a million rows: go test -run '^$' -bench Verify -benchtime 3x
func BenchmarkVerify(b *testing.B) {
	const rows = 1_000_000
	l := newBench(b)
	l.load(newTable(rows))
	execute(b, l.owner, "VACUUM ANALYZE ledger.rows")
	direct := l.direct()
	before := processor(b)
	for b.Loop() {
		v, err := Verify(b.Context(), direct)
		require.NoError(b, err)
		require.True(b, v.Sound())
		require.Equal(b, int64(rows), v.Rows)
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
	// On a machine that others use as well, what it costs says more than how long it took.
	b.ReportMetric((processor(b)-before).Seconds()/float64(b.N), "own-cpu-s/op")
}

// processor is the processor time that this process has had.
func processor(b *testing.B) time.Duration {
	var use syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// BenchmarkAppend is what two rows add to a step, with 1 and with 8 acts at once.
// LEDGER_BENCH_OWNER names a server that syncs (the tests' own does not).
func BenchmarkAppend(b *testing.B) {
	for _, acts := range []int{1, 8} {
		b.Run(fmt.Sprintf("acts=%d", acts), func(b *testing.B) {
			l := newBench(b)
			l.Config = l.direct()
			book, stop := l.open()
			defer stop()
			var took []time.Duration
			results := make(chan time.Duration, 1024)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for d := range results {
					took = append(took, d)
				}
			}()
			next := make(chan int)
			done := make(chan struct{})
			for range acts {
				go func() {
					for n := range next {
						start := time.Now()
						if book.Begin(context.Background(), anAct(n)) != nil || book.End(context.Background(), anAct(n), Result{Changed: yes()}) != nil {
							b.Error("not recorded")
						}
						results <- time.Since(start)
					}
					done <- struct{}{}
				}()
			}
			n := 0
			for b.Loop() {
				n++
				next <- n
			}
			close(next)
			for range acts {
				<-done
			}
			close(results)
			<-ended
			slices.Sort(took)
			at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
			b.ReportMetric(at(.5), "p50-ms")
			b.ReportMetric(at(.99), "p99-ms")
			b.ReportMetric(at(1), "max-ms")
			require.Zero(b, book.Head().Spooled)
		})
	}
}
