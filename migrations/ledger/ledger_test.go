package ledger_test

import (
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/migrations/app/apptest"
	"github.com/leanvibe/hive/migrations/ledger"
)

func TestMain(m *testing.M) { os.Exit(apptest.Run(m)) }

func TestUp_TwoAtOnceAndAgain(t *testing.T) {
	dsns := []string{apptest.Database(t), apptest.Database(t)} // the role is the server's
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = ledger.Up(t.Context(), dsns[i%2]) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.NoError(t, ledger.Up(t.Context(), dsns[0]))
	conn, err := pgx.Connect(t.Context(), dsns[0])
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var seq int64
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT seq FROM ledger.head`).Scan(&seq))
	require.Zero(t, seq)
}

// The platform's owner has the name of the schema, which is first in its search path.
func TestUp_AnOwnerCalledAsTheSchema(t *testing.T) {
	dsn := apptest.Database(t)
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `CREATE ROLE ledger LOGIN SUPERUSER`)
	require.NoError(t, err)
	// Roles outlive the database, and the server serves the next run of this test.
	defer func() {
		_, err := conn.Exec(t.Context(), `DROP OWNED BY ledger CASCADE; DROP ROLE ledger`)
		require.NoError(t, err)
	}()
	owner := conn.Config().Copy()
	as := fmt.Sprintf("postgres://ledger@%s/%s?sslmode=disable", net.JoinHostPort(owner.Host, fmt.Sprint(owner.Port)), owner.Database)
	require.NoError(t, ledger.Up(t.Context(), as))
	require.NoError(t, ledger.Up(t.Context(), as))
}

func TestUp_NoServer(t *testing.T) {
	err := ledger.Up(t.Context(), "postgres://ledger@127.0.0.1:1/ledger?sslmode=disable&connect_timeout=1")
	require.ErrorContains(t, err, "ledger schema")
}

// The server keeps the very verifier that it would have made of the password.
func TestSetPassword(t *testing.T) {
	dsn := apptest.Database(t)
	require.NoError(t, ledger.Up(t.Context(), dsn))
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	kept := func() (verifier string) {
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT rolpassword FROM pg_authid WHERE rolname = $1`, ledger.Role).Scan(&verifier))
		return verifier
	}
	require.NoError(t, ledger.SetPassword(t.Context(), dsn, "one"))
	first := kept()
	require.Regexp(t, `^SCRAM-SHA-256\$4096:[A-Za-z0-9+/=]{24}\$[A-Za-z0-9+/=]{44}:[A-Za-z0-9+/=]{44}$`, first)
	require.NoError(t, ledger.SetPassword(t.Context(), dsn, "one"))
	require.NotEqual(t, first, kept(), "salted")
	for _, bad := range []string{"", "two words", "naïve"} {
		require.ErrorContains(t, ledger.SetPassword(t.Context(), dsn, bad), "printable ASCII")
	}
}

// Whoever has the password gets in, and nobody else.
func TestThePasswordOpens(t *testing.T) {
	dsn := apptest.Database(t)
	require.NoError(t, ledger.Up(t.Context(), dsn))
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var hba string
	require.NoError(t, conn.QueryRow(t.Context(), `SHOW hba_file`).Scan(&hba))
	trusting, err := os.ReadFile(hba)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(hba, append([]byte("host all "+ledger.Role+" 127.0.0.1/32 scram-sha-256\n"), trusting...), 0o600))
	_, err = conn.Exec(t.Context(), `SELECT pg_reload_conf()`)
	require.NoError(t, err)
	require.NoError(t, ledger.SetPassword(t.Context(), dsn, "right"))
	try := func(password string) error {
		cfg := conn.Config().Copy()
		cfg.User, cfg.Password = ledger.Role, password
		c, err := pgx.ConnectConfig(t.Context(), cfg)
		if err == nil {
			c.Close(t.Context())
		}
		return err
	}
	require.Eventually(t, func() bool { return try("wrong") != nil }, time.Minute, 20*time.Millisecond, "the new rule holds")
	require.ErrorContains(t, try("wrong"), "28P01")
	require.NoError(t, try("right"))
}
