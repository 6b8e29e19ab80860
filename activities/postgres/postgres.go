// Package postgres is the hand on PostgreSQL: it observes, measures bloat, and
// cares for one object at a time. A killed worker does not stop what it started
// there, so each act first looks for the session of its predecessor; work is done
// on one connection and watched, and if need be cancelled, from another.
//
// It never emits VACUUM FULL or a REINDEX that is not CONCURRENTLY.
package postgres

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.temporal.io/sdk/activity"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	connectMax = 2 * time.Second
	// lookMax bounds one look at the catalogs.
	lookMax = 5 * time.Second
	// beatEvery is well below the steps' heartbeat timeout of 10 s.
	beatEvery = 2 * time.Second
	// onlooker is the application_name of connections that change nothing.
	onlooker = "hive"
)

// Hand acts on the databases of one project.
type Hand struct {
	// ProjectDir is the absolute project root.
	ProjectDir string
	// Locate answers the address of a service's container.
	Locate func(ctx context.Context, project, service string) (ip string, err error)
	// FreeDisk answers the bytes free on the disk of a service's data; nil where
	// that cannot be told.
	FreeDisk func(ctx context.Context, project, service string) (int64, error)
}

// connect opens one connection under the given application_name. What the server
// says besides goes to notice, which may be nil.
func (h Hand) connect(ctx context.Context, in runbook.DatabaseInput, name string, notice func(string)) (*pgx.Conn, error) {
	cfg, err := h.config(ctx, in)
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["application_name"] = name
	if name == onlooker { // to look is never worth a queue before a lock
		cfg.RuntimeParams["lock_timeout"] = "1000"
	}
	if notice != nil {
		cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notice(n.Message) }
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, classify(err, in)
	}
	return conn, nil
}

func (h Hand) config(ctx context.Context, in runbook.DatabaseInput) (*pgx.ConnConfig, error) {
	db := in.Database
	ip, err := h.Locate(ctx, in.Project, db.Service)
	if err != nil {
		if runbook.KindOf(err) != "" {
			return nil, err
		}
		return nil, runbook.FailCause(runbook.Unreachable, err, "no address of service %s", db.Service)
	}
	dsn := url.URL{
		Scheme: "postgres", User: url.User(db.User), Path: "/" + db.Name,
		Host: net.JoinHostPort(ip, strconv.Itoa(db.Port)), RawQuery: "sslmode=prefer",
	}
	cfg, err := pgx.ParseConfig(dsn.String())
	if err != nil {
		return nil, runbook.Fail(runbook.Refused, "database %q, user %q and port %d make no address", db.Name, db.User, db.Port)
	}
	cfg.ConnectTimeout = connectMax
	cfg.Password, err = h.password(db)
	return cfg, err
}

func (h Hand) password(db runbook.DatabasePolicy) (string, error) {
	if db.PasswordFile == "" {
		return "", nil
	}
	raw, err := os.ReadFile(filepath.Join(h.ProjectDir, db.PasswordFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", runbook.Fail(runbook.Missing, "%s does not exist; hive up writes it, or put the password of %s there", db.PasswordFile, db.User)
	case err != nil:
		return "", runbook.Fail(runbook.Refused, "%s cannot be read; it must be readable to this worker", db.PasswordFile)
	}
	return strings.TrimRight(string(raw), "\r\n"), nil
}

// beating heartbeats until the returned call: one look at a large index reads all
// of it in one statement.
func beating(ctx context.Context, details any) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				beat(ctx, details)
			}
		}
	}()
	return func() { cancel(); <-ended }
}

func closeConn(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx) // nothing is lost with a connection that does not close in order
}

// beat tells Temporal that the act lives, and leaves what a retry needs to know.
func beat(ctx context.Context, details any) {
	if activity.IsActivity(ctx) {
		activity.RecordHeartbeat(ctx, details)
	}
}
