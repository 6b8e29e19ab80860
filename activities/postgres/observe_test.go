package postgres

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

func TestObserve(t *testing.T) {
	b := newBench(t)
	b.exec("CREATE TABLE doubled (id int); INSERT INTO doubled VALUES (1), (1)")
	_, err := b.conn.PgConn().Exec(context.Background(), "CREATE UNIQUE INDEX CONCURRENTLY doubled_id ON doubled (id)").ReadAll()
	require.Error(t, err)

	slow := b.open("reports")
	go func() { _, _ = slow.Exec(context.Background(), "SELECT pg_sleep(600), 'geheim',\n  42 AS n1") }()
	b.eventually("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'reports' AND state = 'active' AND query_start < now() - interval '20 ms')")
	b.in.Database.LongQuery = runbook.Duration(10 * time.Millisecond)

	s, err := run(t, runbook.ObserveDatabase, b.hand.Observe, b.in, attempt{})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(s.Version, "15."), s.Version)
	require.Positive(t, s.SizeBytes)
	require.GreaterOrEqual(t, s.Connections, 3)
	require.Equal(t, 100, s.MaxConnections)
	require.Len(t, s.LongQueries, 1)
	require.Equal(t, "SELECT pg_sleep(?), ?, ? AS n1", s.LongQueries[0].Text)
	require.Equal(t, "reports", s.LongQueries[0].Application)
	require.Equal(t, int(slow.PgConn().PID()), s.LongQueries[0].PID)
	require.Positive(t, s.LongQueries[0].Age)
	require.Len(t, s.Leftovers, 1)
	require.Equal(t, "doubled_id", s.Leftovers[0].Name)
	require.False(t, s.Leftovers[0].Valid)
	b.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'reports'")
}

func TestMeasureBloat(t *testing.T) {
	b := newBench(t)
	b.bloated("hollow")
	b.exec("CREATE TABLE full_one (id int PRIMARY KEY, tags text[]); INSERT INTO full_one SELECT g, '{a}' FROM generate_series(1, 1000) g")
	b.exec("CREATE INDEX full_tags ON full_one USING gin (tags); DELETE FROM full_one WHERE id <= 10")
	b.exec("CREATE TABLE empty (id int PRIMARY KEY)")
	b.exec("CREATE TABLE rooms (during tsrange, EXCLUDE USING gist (during WITH &&))")
	b.exec("CREATE TEMP TABLE passing (id int PRIMARY KEY)")

	s, err := run(t, runbook.MeasureBloat, b.hand.MeasureBloat, b.in, attempt{})
	require.NoError(t, err)
	require.Empty(t, s.Problems)
	require.EqualValues(t, -1, s.FreeBytes, "nobody told")

	tables := map[string]runbook.TableState{}
	for _, x := range s.Tables {
		tables[x.Name] = x
	}
	require.Len(t, tables, 4, "no temporary one")
	require.Equal(t, "hollow", s.Tables[0].Name, "largest first")
	require.False(t, tables["hollow"].NeverVacuum)
	require.InDelta(t, 50000, tables["hollow"].LiveRows, 500)
	require.EqualValues(t, 10, tables["full_one"].DeadRows, "counted, not guessed")
	require.EqualValues(t, 990, tables["full_one"].LiveRows)
	require.True(t, tables["full_one"].NeverVacuum)

	indexes := map[string]runbook.IndexState{}
	for _, x := range s.Indexes {
		indexes[x.Name] = x
	}
	require.InDelta(t, 33, indexes["hollow_pkey"].LeafDensity, 5)
	require.Greater(t, indexes["full_one_pkey"].LeafDensity, 80.0)
	require.Negative(t, indexes["full_tags"].LeafDensity)
	require.Equal(t, "gin", indexes["full_tags"].Method)
	require.Negative(t, indexes["empty_pkey"].LeafDensity, "no leaves yet")
	require.False(t, indexes["rooms_during_excl"].Rebuildable)
	require.True(t, indexes["hollow_pkey"].Rebuildable)
}

func TestMeasureBloatWithoutTheExtensionSaysSo(t *testing.T) {
	b := newBench(t)
	b.bloated("hollow")
	b.exec("DROP EXTENSION pgstattuple")
	s, err := run(t, runbook.MeasureBloat, b.hand.MeasureBloat, b.in, attempt{})
	require.NoError(t, err)
	require.Negative(t, s.Indexes[0].LeafDensity)
	require.Len(t, s.Problems, 1)
	require.Contains(t, s.Problems[0], "CREATE EXTENSION pgstattuple")
}

func TestRefusals(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct {
		change func(*bench)
		kind   runbook.Kind
		want   string
	}{
		"no such database": {func(b *bench) { b.in.Database.Name = "nowhere" }, runbook.Missing, `PostgreSQL (service postgres-primary, database nowhere): database "nowhere" does not exist (SQLSTATE 3D000)`},
		"no such user":     {func(b *bench) { b.in.Database.User = "nobody" }, runbook.Refused, `role "nobody" does not exist (SQLSTATE 28000); check user and pg_hba.conf`},
		"nobody listens":   {func(b *bench) { b.in.Database.Port = 1 }, runbook.Unreachable, "PostgreSQL (service postgres-primary, database"},
		"no password file": {func(b *bench) { b.in.Database.PasswordFile = "secrets/none" }, runbook.Missing, "secrets/none does not exist; hive up writes it"},
		"no container": {func(b *bench) {
			b.hand.Locate = func(context.Context, string, string) (string, error) { return "", errors.New("no container") }
		}, runbook.Unreachable, "no address of service postgres-primary: no container"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := *b
			c.change(&changed)
			_, err := changed.hand.Observe(context.Background(), changed.in)
			require.Equal(t, c.kind, runbook.KindOf(err), "%v", err)
			require.ErrorContains(t, err, c.want)
		})
	}
	require.NoError(t, os.WriteFile(filepath.Join(b.hand.ProjectDir, "password"), []byte("p\n"), 0o600))
	b.in.Database.PasswordFile = "password"
	_, err := b.hand.Observe(context.Background(), b.in)
	require.NoError(t, err)
}

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		"SELECT 1":                           "SELECT ?",
		"SELECT 'it''s', E'a\\'b', U&'x'":    "SELECT ?, E?, U&?",
		"ALTER ROLE a PASSWORD 'geheim'":     "ALTER ROLE a PASSWORD ?",
		"SELECT t1.c2 FROM t1 WHERE id = $1": "SELECT t1.c2 FROM t1 WHERE id = $1",
		"DO $x$ geheim $x$":                  "DO ?",
		"SELECT $$ geheim":                   "SELECT ?",
		"SELECT 'open":                       "SELECT ?",
		"  SELECT\n\t 3.14 ,\r\n x ":         "SELECT ? , x",
		"SELECT name'x'":                     "SELECT name?",
	} {
		require.Equal(t, want, normalise(in))
	}
	require.LessOrEqual(t, len(normalise(strings.Repeat("ä", 500))), textMax)
}

// What this hand may never say stands in none of its files.
func TestForbiddenStatements(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(f)
		require.NoError(t, err)
		for line := range strings.Lines(string(raw)) {
			code, _, _ := strings.Cut(line, "//")
			require.NotRegexp(t, `(?i)"[^"]*VACUUM[^"]*FULL`, code, f)
			require.NotRegexp(t, `(?i)"REINDEX (TABLE|DATABASE|SCHEMA|SYSTEM|INDEX [^C])`, code, f)
			require.NotRegexp(t, `(?i)"DROP INDEX [^C]`, code, f)
		}
	}
}
