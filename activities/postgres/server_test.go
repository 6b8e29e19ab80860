package postgres

import (
	"context"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/leanvibe/hive/migrations/app/apptest"
	"github.com/leanvibe/hive/workflows/runbook"
)

func TestMain(m *testing.M) { os.Exit(apptest.Run(m)) }

// bench is one fresh database of a real server, and the hand on it.
type bench struct {
	t    *testing.T
	dsn  string
	hand Hand
	in   runbook.DatabaseInput
	conn *pgx.Conn
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dsn := apptest.Database(t)
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(u.Host)
	require.NoError(t, err)
	b := &bench{t: t, dsn: dsn, hand: Hand{
		ProjectDir: t.TempDir(),
		Locate:     func(context.Context, string, string) (string, error) { return host, nil },
	}}
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	b.in = runbook.DatabaseInput{Project: "p", Database: runbook.DatabasePolicy{
		Service: "postgres-primary", Name: strings.TrimPrefix(u.Path, "/"), User: u.User.Username(), Port: n,
		MinLeafDensity: 50, MinIndexBytes: 1 << 20, LongTransaction: runbook.Duration(time.Hour), LongQuery: runbook.Duration(time.Minute),
	}}
	b.conn = b.open("bench")
	b.exec("CREATE EXTENSION pgstattuple; CREATE EXTENSION amcheck")
	return b
}

// open opens a connection of its own under a name.
func (b *bench) open(name string) *pgx.Conn {
	b.t.Helper()
	cfg, err := pgx.ParseConfig(b.dsn)
	require.NoError(b.t, err)
	cfg.RuntimeParams["application_name"] = name
	c, err := pgx.ConnectConfig(context.Background(), cfg)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = c.PgConn().Conn().Close() })
	return c
}

func (b *bench) exec(sql string) {
	b.t.Helper()
	execOn(b.t, b.conn, sql)
}

func execOn(t *testing.T, c *pgx.Conn, sql string) {
	t.Helper()
	_, err := c.PgConn().Exec(context.Background(), sql).ReadAll()
	require.NoError(t, err)
}

func one[T any](b *bench, sql string, args ...any) T {
	b.t.Helper()
	var v T
	require.NoError(b.t, b.conn.QueryRow(context.Background(), sql, args...).Scan(&v))
	return v
}

// eventually waits for a condition that SQL tells.
func (b *bench) eventually(sql string, args ...any) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return one[bool](b, sql, args...) }, time.Minute, 5*time.Millisecond, sql)
}

// maintain names an object, with a window that no machine is too slow for.
func (b *bench) maintain(table, index string) runbook.MaintainInput {
	return runbook.MaintainInput{
		DatabaseInput: b.in, Schema: "public", Table: table, Index: index,
		Until: time.Now().Add(10 * time.Minute), Session: b.t.Name() + "/" + table + index,
	}
}

// bloated makes a table whose primary key has lost two of three rows.
func (b *bench) bloated(table string) {
	b.exec("CREATE TABLE " + table + " (id int PRIMARY KEY, note text)")
	b.exec("INSERT INTO " + table + " SELECT g, 'note ' || g FROM generate_series(1, 150000) g")
	b.exec("DELETE FROM " + table + " WHERE id % 3 <> 0")
	b.exec("VACUUM (ANALYZE, TRUNCATE false) " + table)
}

// began opens a transaction that holds a snapshot and ends with the returned call.
func (b *bench) began(name, sql string) (end func()) {
	b.t.Helper()
	c := b.open(name)
	execOn(b.t, c, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	execOn(b.t, c, sql)
	return func() { execOn(b.t, c, "COMMIT") }
}

// attempt runs a step's handler as an activity of its own.
type attempt struct {
	ctx   context.Context
	trace *trace
	beat  func() // at each heartbeat
}

func run[In, Out any](t *testing.T, step runbook.Step[In, Out], handler func(context.Context, In) (Out, error), in In, a attempt) (Out, error) {
	t.Helper()
	var out Out
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(10 * time.Minute)
	if a.ctx != nil {
		env.SetWorkerOptions(worker.Options{BackgroundActivityContext: a.ctx})
	}
	if a.trace != nil {
		env.SetHeartbeatDetails(*a.trace)
	}
	if a.beat != nil {
		env.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) { a.beat() })
	}
	step.Bind(env, handler)
	v, err := env.ExecuteActivity(step.Name, in)
	if err != nil {
		return out, err
	}
	return out, v.Get(&out)
}
