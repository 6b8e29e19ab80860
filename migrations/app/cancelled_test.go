package app_test

import (
	"database/sql"
	"os"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/migrations/app/apptest"
)

func TestCancelled_StorableAndBack(t *testing.T) {
	db, err := sql.Open("pgx", apptest.Schema(t))
	require.NoError(t, err)
	defer db.Close()
	const insert = `INSERT INTO finished_tasks (id, idempotency_key, queue, handler, capabilities, priority, max_attempts, payload,
  state, attempt, failures, agent, submitted_at, finished_at, result, error)
VALUES (gen_random_uuid(), '', 'q', 'h', '{}', 0, 1, '', $1, 0, 0, '', now(), now(), '', 'cancelled')`
	_, err = db.ExecContext(t.Context(), insert, "cancelled")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), insert, "waiting")
	require.ErrorContains(t, err, "finished_tasks_state_check")

	provider, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("."))
	require.NoError(t, err)
	_, err = provider.DownTo(t.Context(), 1)
	require.NoError(t, err)
	var state string
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT state FROM finished_tasks`).Scan(&state))
	require.Equal(t, "dead", state)
	_, err = db.ExecContext(t.Context(), insert, "cancelled")
	require.ErrorContains(t, err, "finished_tasks_state_check")

	_, err = provider.Up(t.Context())
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), insert, "cancelled")
	require.NoError(t, err)
}
