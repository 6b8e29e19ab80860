package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// A worker killed mid-rebuild leaves a backend that goes on: the retry waits for
// it, builds nothing, and says so.
func TestARetryAdoptsWhatItsPredecessorBegan(t *testing.T) {
	b := newBench(t)
	b.bloated("hollow")
	in := b.maintain("hollow", "hollow_pkey")
	before := trace{OID: one[uint32](b, "SELECT 'hollow_pkey'::regclass::oid"), Bytes: one[int64](b, "SELECT pg_relation_size('hollow_pkey')")}
	b.exec("CREATE TABLE other (id int)")
	end := b.began("analyst", "SELECT count(*) FROM other")

	dead := b.open(sessionName(in.Session))
	begin(t, dead, "REINDEX INDEX CONCURRENTLY hollow_pkey")
	b.eventually("SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%')")
	require.NoError(t, dead.PgConn().Conn().Close()) // as a SIGKILL of the worker does

	type answer struct {
		out runbook.Maintained
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		out, err := run(t, runbook.RebuildIndex, b.hand.RebuildIndex, in, attempt{trace: &before})
		answers <- answer{out, err}
	}()
	b.eventually("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'hive')")
	require.Equal(t, 1, one[int](b, "SELECT count(*) FROM pg_stat_progress_create_index"), "no second build")
	end()
	a := <-answers
	require.NoError(t, a.err)
	require.Equal(t, "adopted", a.out.Outcome)
	require.True(t, a.out.Changed)
	require.Equal(t, before.Bytes, a.out.BytesBefore)
	require.Less(t, a.out.BytesAfter, a.out.BytesBefore)
	require.Zero(t, one[int](b, invalid))
	b.gone()
}

// begin sends a statement and does not wait for its end.
func begin(t *testing.T, c *pgx.Conn, sql string) {
	t.Helper()
	front := c.PgConn().Frontend()
	front.SendQuery(&pgproto3.Query{String: sql})
	require.NoError(t, front.Flush())
}

// A predecessor that was cancelled midway left a carcass: ours goes, the work is
// done; one of another index of the table stays.
func TestARetryDropsItsPredecessorsLeftoverAlone(t *testing.T) {
	b := newBench(t)
	b.bloated("hollow")
	b.exec("CREATE INDEX hollow_note ON hollow (note)")
	for _, name := range []string{"hollow_pkey_ccnew", "hollow_pkey_ccnew1", "hollow_note_ccnew", "hollow_pkey2_ccold"} {
		b.exec("CREATE INDEX " + name + " ON hollow (id)")
		b.exec("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '" + name + "'::regclass")
	}
	out, err := run(t, runbook.RebuildIndex, b.hand.RebuildIndex, b.maintain("hollow", "hollow_pkey"), attempt{})
	require.NoError(t, err)
	require.Equal(t, "done", out.Outcome)
	require.Equal(t, "hollow_note_ccnew,hollow_pkey2_ccold",
		one[string](b, "SELECT string_agg(indexrelid::regclass::text, ',' ORDER BY 1) FROM pg_index WHERE NOT indisvalid"))
}
