package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/migrations/app/apptest"
	"github.com/leanvibe/hive/migrations/ledger"
	"github.com/leanvibe/hive/workers/operations/audit"
)

func TestMain(m *testing.M) { os.Exit(apptest.Run(m)) }

// policyFile marks the root of a project.
const policyFile = "deploy/production/runbook.yaml"

// ledgerProject is a project with an empty ledger, and the ledger's address.
func ledgerProject(t *testing.T) (dir, address, owner string) {
	t.Helper()
	dir = t.TempDir()
	for file, content := range map[string]string{
		policyFile: "", "secrets/ledger_key": strings.Repeat("k", 48), "secrets/ledger_password": "secret",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(file)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600))
	}
	owner = apptest.Database(t)
	require.NoError(t, ledger.Up(t.Context(), owner))
	cfg, err := pgx.ParseConfig(owner)
	require.NoError(t, err)
	return dir, fmt.Sprintf("%s:%d/%s", cfg.Host, cfg.Port, cfg.Database), owner
}

func TestLedgerVerbs(t *testing.T) {
	dir, address, owner := ledgerProject(t)
	ask := func(args ...string) (int, string, string) {
		return execute(t, append([]string{"ledger", "--project", dir, "--ledger", address}, args...)...)
	}
	code, out, _ := ask("verify")
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "0 rows, each as it was written, none missing")
	code, out, _ = ask("show")
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "no row of the ledger is like that")
	_, out, _ = ask("show", "--output", "json")
	require.JSONEq(t, "[]", out)
	code, _, said := ask("show", "--procedure", "WeeklyMaintenence")
	require.Equal(t, exitUsage, code)
	require.Contains(t, said, `no procedure "WeeklyMaintenence"`)
	code, _, _ = ask("show", "--procedure", "WeeklyMaintenance")
	require.Equal(t, exitOK, code)

	// A row of somebody who has not the key.
	conn, err := pgx.Connect(t.Context(), owner)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `INSERT INTO ledger.rows VALUES (1, sha256(''), sha256('x'), gen_random_uuid(), now(), 'weekly-maintenance', 'r',
		'WeeklyMaintenance', 'containers.StopReplica', 'write', 'leanvibe-communication-hub-1', 2, sha256(''), 1, 'failed', 'Busy', NULL, sha256(''), 1500,
		'ada', 'cli', 'opsworker@here')`)
	require.NoError(t, err)
	code, out, _ = ask("show", "--run", "weekly-maintenance", "--target", "*hub*", "--since", "24h")
	require.Equal(t, exitOK, code)
	for _, want := range []string{"containers.StopReplica #2", "leanvibe-communication-hub-1", "failed (Busy)", "ada, cli"} {
		require.Contains(t, out, want)
	}
	code, out, _ = ask("verify")
	require.Equal(t, exitFailed, code)
	require.Contains(t, out, "is not what was written under this number")
	require.Contains(t, out, "the ledger is not whole")
	code, out, _ = ask("verify", "--output", "json")
	require.Equal(t, exitFailed, code)
	var v audit.Verdict
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.Equal(t, int64(1), v.Rows)
	code, out, _ = ask("verify", "--head", "7:"+strings.Repeat("ab", 32))
	require.Equal(t, exitFailed, code)
	require.Contains(t, out, "row 7 is known to the head that was given")
}

func TestLedgerRefusesWithAWayOut(t *testing.T) {
	dir, address, _ := ledgerProject(t)
	bare := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(bare, filepath.Dir(policyFile)), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(bare, policyFile), nil, 0o600))
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"database away", []string{"verify", "--project", dir, "--ledger", "127.0.0.1:1"}, exitUnreachable, "the ledger's database at 127.0.0.1:1 does not answer"},
		{"show, database away", []string{"show", "--project", dir, "--ledger", "127.0.0.1:1"}, exitUnreachable, "does not answer"},
		{"no key", []string{"verify", "--project", bare, "--ledger", address}, exitUsage, "secrets/ledger_key does not exist: `hive up` writes it"},
		{"no database", []string{"verify", "--project", dir, "--ledger", strings.Replace(address, "/test", "/none", 1)}, exitUsage, "`hive up` makes it"},
		{"outcome", []string{"show", "--project", dir, "--ledger", address, "--outcome", "well"}, exitUsage, `outcome "well": want one of [started done`},
		{"since", []string{"show", "--project", dir, "--since", "yesterday"}, exitUsage, `--since "yesterday": want a time such as`},
		{"limit", []string{"show", "--project", dir, "--limit", "-1"}, exitUsage, "want a number of rows"},
		{"head", []string{"verify", "--project", dir, "--head", "12"}, exitUsage, "is no head of the ledger"},
		{"address", []string{"verify", "--project", dir, "--ledger", "::::"}, exitUsage, "is no address of the ledger's database"},
		{"verb", []string{"verifi"}, exitUsage, `did you mean "verify"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, errs := execute(t, append([]string{"ledger"}, c.args...)...)
			require.Equal(t, c.code, code, errs)
			require.Contains(t, errs, c.want)
			require.NotContains(t, errs, "retryable", "the hand's words alone")
		})
	}
}

func TestMoment(t *testing.T) {
	for text, want := range map[string]time.Time{
		"":                     {},
		"2026-11-29":           time.Date(2026, 11, 29, 0, 0, 0, 0, time.Local),
		"2026-11-29 02:00":     time.Date(2026, 11, 29, 2, 0, 0, 0, time.Local),
		"2026-11-29T02:00:00Z": time.Date(2026, 11, 29, 2, 0, 0, 0, time.UTC),
	} {
		got, err := moment("since", text)
		require.NoError(t, err)
		require.True(t, want.Equal(got), text)
	}
	got, err := moment("since", "90m")
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(-90*time.Minute), got, time.Minute)
}
