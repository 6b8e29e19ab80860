package ledger

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/migrations/app/apptest"
	"github.com/leanvibe/hive/workflows/runbook"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victim); dir != "" {
		spoolUntilKilled(dir)
		return
	}
	os.Exit(apptest.Run(m))
}

// bench is a ledger with a database of its own, and a wire to it that can be cut.
type bench struct {
	t     testing.TB
	owner string
	wire  *wire
	Config
}

func newBench(t testing.TB) *bench {
	t.Helper()
	owner := serverOf(t)
	schema(t, owner)
	cfg, err := pgx.ParseConfig(owner)
	require.NoError(t, err)
	b := &bench{t: t, owner: owner, wire: newWire(t, net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port)))}
	b.Config = Config{ProjectDir: t.TempDir(), Address: b.wire.address() + "/" + cfg.Database}
	require.NoError(t, os.Mkdir(filepath.Join(b.ProjectDir, "secrets"), 0o700))
	b.secret(KeyFile, strings.Repeat("k", keyMin))
	b.secret(PasswordFile, "not-asked-for-in-tests")
	return b
}

// serverOf is a fresh database: of the server that LEDGER_BENCH_OWNER names, a DSN of
// its owner, else of the tests' own, which does not sync.
func serverOf(t testing.TB) string {
	t.Helper()
	given := os.Getenv("LEDGER_BENCH_OWNER")
	if given == "" {
		return apptest.Database(t)
	}
	name := fmt.Sprintf("ledger_bench_%d_%d", os.Getpid(), databases.Add(1))
	execute(t, given, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), given)
		require.NoError(t, err)
		defer conn.Close(context.Background())
		_, err = conn.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		require.NoError(t, err)
	})
	u, err := url.Parse(given)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}

var databases atomic.Int64

// schema applies the migration as it stands: a hand may not import it.
func schema(t testing.TB, dsn string) {
	t.Helper()
	raw, err := os.ReadFile("../../migrations/ledger/00001_ledger.sql")
	require.NoError(t, err)
	up, _, found := strings.Cut(string(raw), "-- +goose Down")
	require.True(t, found)
	execute(t, dsn, up)
}

func execute(t testing.TB, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
}

func (b *bench) secret(file, content string) {
	require.NoError(b.t, os.WriteFile(filepath.Join(b.ProjectDir, file), []byte(content+"\n"), 0o600))
}

// exec is what somebody with the owner's password does.
func (b *bench) exec(sql string) {
	b.t.Helper()
	execute(b.t, b.owner, "SET session_replication_role = replica;"+sql)
}

// open opens the book and writes until the returned call.
func (b *bench) open() (*Book, func()) {
	b.t.Helper()
	book, err := Open(b.Config)
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- book.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(b.t, <-ended)
	})
	b.t.Cleanup(stop)
	if !b.wire.isCut() {
		b.settle(book)
	}
	return book, stop
}

// settle waits until the database has all rows, and takes new ones.
func (b *bench) settle(book *Book) {
	b.t.Helper()
	within(b.t, "the database takes the rows", func() bool { return book.Head().Spooled == 0 && book.Away() == nil })
}

// rows are all rows, oldest first.
func (b *bench) rows() []Row {
	b.t.Helper()
	rows, err := Show(b.t.Context(), b.Config, Query{})
	require.NoError(b.t, err)
	return rows
}

// verdict verifies, and asks that the verdict says of each row what is expected.
func (b *bench) verdict(heads ...Head) Verdict {
	b.t.Helper()
	v, err := Verify(b.t.Context(), b.Config, heads...)
	require.NoError(b.t, err)
	return v
}

func (b *bench) sound() {
	b.t.Helper()
	v := b.verdict()
	require.True(b.t, v.Sound(), "%+v", v.Findings)
}

func within(t testing.TB, what string, met func() bool) {
	t.Helper()
	const patience = time.Minute // a connection that failed often is tried again after redialMax
	require.Eventually(t, met, patience, 5*time.Millisecond, what)
}

func anAct(n int) Act {
	input, _ := Digest(map[string]int{"n": n})
	return Act{
		Workflow: "weekly-maintenance", Run: "019ab2d4-7f3a-7c1e-9d52-6a0f5b1c2e3d", Procedure: "WeeklyMaintenance",
		Step: "containers.StopReplica", Effect: "write", Target: fmt.Sprintf("leanvibe-communication-hub-%d", n), Nth: 1, Attempt: 1,
		Input: input, RequestedBy: "ada", Trigger: "cli", Worker: "opsworker@here",
	}
}

func yes() *bool { v := true; return &v }
func no() *bool  { v := false; return &v }

// do records an act from its begin to its end.
func do(t testing.TB, book *Book, a Act, r Result) {
	t.Helper()
	require.NoError(t, book.Begin(t.Context(), a))
	require.NoError(t, book.End(t.Context(), a, r))
}

// wire is a TCP connection to the database that can be cut, and can swallow.
type wire struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	cut   bool
	mute  bool
	conns map[net.Conn]bool
}

func newWire(t testing.TB, to string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{listener: l, to: to, conns: map[net.Conn]bool{}}
	go w.serve()
	t.Cleanup(func() { w.set(true, false); l.Close() })
	return w
}

func (w *wire) address() string { return w.listener.Addr().String() }

func (w *wire) serve() {
	for {
		from, err := w.listener.Accept()
		if err != nil {
			return
		}
		go w.carry(from)
	}
}

func (w *wire) carry(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", w.to)
	if err != nil || !w.join(from, to) {
		return
	}
	defer to.Close()
	go func() { _, _ = io.Copy(to, from); to.Close() }()
	// Answers are what gets lost: what was asked has happened.
	buffer := make([]byte, 32<<10)
	for {
		n, err := to.Read(buffer)
		if err != nil {
			return
		}
		if w.silent() {
			continue
		}
		if _, err := from.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (w *wire) join(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = true
	}
	return !w.cut
}

func (w *wire) isCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut
}

func (w *wire) silent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mute
}

// set cuts all connections and refuses new ones, or swallows all answers.
func (w *wire) set(cut, mute bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.mute = cut, mute
	if cut {
		for c := range w.conns {
			c.Close()
		}
		clear(w.conns)
	}
}

// cutConnections cuts what there is, and takes new ones.
func (w *wire) cutConnections() {
	w.set(true, false)
	w.set(false, false)
}

// direct is the ledger without the wire between.
func (b *bench) direct() Config {
	b.t.Helper()
	cfg, err := pgx.ParseConfig(b.owner)
	require.NoError(b.t, err)
	c := b.Config
	c.Address = fmt.Sprintf("%s:%d/%s", cfg.Host, cfg.Port, cfg.Database)
	return c
}

func TestOpenNamesWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		file, content string
		kind          runbook.Kind
		want          string
	}{
		{"", "", runbook.Missing, "secrets/ledger_key does not exist: `hive up` writes it"},
		{KeyFile, "short", runbook.Refused, "needs at least 32"},
		{KeyFile, strings.Repeat("k", 64), runbook.Missing, "secrets/ledger_password does not exist"},
	} {
		if c.file != "" {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "secrets"), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, c.file), []byte(c.content), 0o600))
		}
		_, err := Open(Config{ProjectDir: dir})
		require.Equal(t, c.kind, runbook.KindOf(err))
		require.ErrorContains(t, err, c.want)
	}
}

func TestOneWriterAtATime(t *testing.T) {
	b := newBench(t)
	_, stop := b.open()
	_, err := Open(b.Config)
	require.Equal(t, runbook.Busy, runbook.KindOf(err))
	require.ErrorContains(t, err, "another opsworker writes the ledger")
	stop()
	_, _ = b.open()
}
