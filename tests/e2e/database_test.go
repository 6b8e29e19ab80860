package e2e

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	database = "leanvibe-postgres-primary-1"
	// loadFor covers the whole of DatabaseMaintenance.
	loadFor = 60 * time.Second
	// mostBlocked bounds any one query of the load.
	mostBlocked = time.Second
)

// Under pgbench's load DatabaseMaintenance rebuilds exactly the indexes that are bloated, skips the one that somebody
// holds and names who, and no query fails or waits.
func TestDatabaseMaintenanceUnderLoad(t *testing.T) {
	root := project(t)
	t.Cleanup(func() {
		sql(t, `DROP TABLE IF EXISTS e2e_bloated, e2e_sound, e2e_held; DROP TABLE IF EXISTS pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers`)
	})
	seed(t)
	holder := hold(t, "e2e_held")
	docker(t, "exec", database, "pgbench", "-q", "-i", "-s", "2", "-U", "leanvibe", "leanvibe_production")
	require.Eventually(t, func() bool {
		return sql(t, `SELECT clock_timestamp() - xact_start > interval '61 s' FROM pg_stat_activity WHERE pid = `+holder) == "t"
	}, 2*time.Minute, time.Second, "the holder's transaction is not as old as the policy's long_transaction, 1m")

	load := pgbench(t, root)
	s := hive(t, root, "run", "DatabaseMaintenance", "--output", "json")
	require.Equal(t, exitOK, s.code)
	r := s.reported(t)
	require.Equal(t, "succeeded", r.Outcome, r.Reason)
	var rebuilt []string
	var skipped []string
	for _, step := range r.Steps {
		switch {
		case step.Name != "database.RebuildIndex":
		case step.Outcome == "done":
			rebuilt = append(rebuilt, step.Target)
		case step.Outcome == "skipped":
			skipped = append(skipped, step.Target+": "+step.Note)
		}
	}
	slices.Sort(rebuilt)
	require.Equal(t, []string{"public.e2e_bloated_at", "public.e2e_bloated_pkey"}, rebuilt)
	require.Len(t, skipped, 1)
	require.Regexp(t, regexp.MustCompile(`^public\.e2e_held_pkey: .*pid `+holder+` of leanvibe .* 1m\d+s old: .*LOCK TABLE e2e_held`), skipped[0])

	said, worst := load()
	require.Contains(t, said, "number of failed transactions: 0 ")
	t.Logf("pgbench: %s\nslowest transaction %s", said, worst)
	require.Less(t, worst, mostBlocked)
}

// seed makes three tables: one with two bloated indexes, one sound, one bloated that will be held.
func seed(t *testing.T) {
	t.Helper()
	for _, table := range []string{"e2e_bloated", "e2e_sound", "e2e_held"} {
		sql(t, `CREATE TABLE `+table+` (id int PRIMARY KEY, at timestamptz NOT NULL, body text NOT NULL)`)
		sql(t, `INSERT INTO `+table+` SELECT n, now() + n * interval '1 s', md5(n::text) FROM generate_series(1, 200000) n`)
	}
	sql(t, `CREATE INDEX e2e_bloated_at ON e2e_bloated (at)`)
	sql(t, `DELETE FROM e2e_bloated WHERE id % 5 <> 0`)
	sql(t, `DELETE FROM e2e_held WHERE id % 5 <> 0`)
	sql(t, `VACUUM ANALYZE e2e_bloated, e2e_sound, e2e_held`)
}

// sql runs a statement in the stack's database.
func sql(t *testing.T, statement string) string {
	t.Helper()
	return docker(t, "exec", database, "psql", "-v", "ON_ERROR_STOP=1", "-AtqX", "-U", "leanvibe", "-d", "leanvibe_production", "-c", statement)
}

// hold leaves a transaction open that holds the table and nothing else; it answers the backend's pid.
func hold(t *testing.T, table string) (pid string) {
	t.Helper()
	c := exec.Command("docker", "exec", "-i", database, "psql", "-AtqX", "-U", "leanvibe", "-d", "leanvibe_production")
	in, err := c.StdinPipe()
	require.NoError(t, err)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = in.Close(); _ = c.Wait() })
	_, err = io.WriteString(in, "SELECT pg_backend_pid();\nBEGIN;\nLOCK TABLE "+table+" IN ROW EXCLUSIVE MODE;\n\\echo held\n")
	require.NoError(t, err)
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	pid = lines.Text()
	require.True(t, lines.Scan())
	require.Equal(t, "held", lines.Text())
	return pid
}

// pgbench loads its own tables and the seeded ones; the answer waits for its end and gives its summary and the time of
// the slowest transaction.
func pgbench(t *testing.T, root string) func() (said string, worst time.Duration) {
	t.Helper()
	script := filepath.Join(root, "out", "e2e", "pgbench.sql")
	require.NoError(t, os.MkdirAll(filepath.Dir(script), 0o755))
	require.NoError(t, os.WriteFile(script, []byte(`\set id 5 * random(1, 40000)
UPDATE e2e_bloated SET body = body WHERE id = :id;
SELECT at FROM e2e_bloated WHERE at < now() ORDER BY at DESC LIMIT 1;
UPDATE e2e_held SET body = body WHERE id = :id;
SELECT body FROM e2e_sound WHERE id = :id;
`), 0o644))
	docker(t, "cp", script, database+":/tmp/script.sql")
	c := exec.Command("docker", "exec", "-w", "/tmp", database, "pgbench", "-U", "leanvibe", "-c", "8", "-j", "1", "-R", "200",
		"-T", strconv.Itoa(int(loadFor.Seconds())), "-l", "--log-prefix", "e2e", "-b", "tpcb-like@1", "-f", "/tmp/script.sql@1", "leanvibe_production")
	var text strings.Builder
	c.Stdout, c.Stderr = &text, &text
	begun := time.Now()
	require.NoError(t, c.Start())
	return func() (string, time.Duration) {
		require.Less(t, time.Since(begun), loadFor, "the load ended before the procedure")
		require.NoError(t, c.Wait(), text.String())
		// The third column is a transaction's time in microseconds, with its wait for its turn, which is the seventh.
		most := docker(t, "exec", database, "sh", "-c", `cat /tmp/e2e.* | awk '$3 - $7 > m { m = $3 - $7 } END { print m + 0 }'; rm -f /tmp/e2e.*`)
		us, err := strconv.ParseFloat(most, 64)
		require.NoError(t, err, most)
		require.Positive(t, us, "pgbench wrote no log")
		return strings.TrimSpace(text.String()), time.Duration(us) * time.Microsecond
	}
}
