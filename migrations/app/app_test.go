package app_test

import (
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/migrations/app"
	"github.com/leanvibe/hive/migrations/app/apptest"
)

func TestMain(m *testing.M) { os.Exit(apptest.Run(m)) }

func TestUp_TwoAtOnceAndAgain(t *testing.T) {
	dsn := apptest.Database(t)
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = app.Up(t.Context(), dsn) })
	}
	wg.Wait()
	require.NoError(t, errs[0])
	require.NoError(t, errs[1])
	require.NoError(t, app.Up(t.Context(), dsn))

	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var n int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM finished_tasks`).Scan(&n))
	require.Zero(t, n)
}

func TestUp_NoServer(t *testing.T) {
	err := app.Up(t.Context(), "postgres://leanvibe@127.0.0.1:1/none?sslmode=disable&connect_timeout=1")
	require.ErrorContains(t, err, "app schema")
}
