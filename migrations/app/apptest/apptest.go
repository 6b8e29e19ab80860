// Package apptest gives the tests of a package one real PostgreSQL in a temporary
// directory, gone with the tests:
//
//	func TestMain(m *testing.M) { os.Exit(apptest.Run(m)) }
//	dsn := apptest.Database(t) // a fresh, empty database
package apptest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/migrations/app"
	"github.com/leanvibe/hive/tests/port"
)

const startMax = 60 * time.Second

type server struct {
	dir, port string
	release   func() // of the port
	cmd       *exec.Cmd
	databases atomic.Int64
}

var (
	running server
	start   = sync.OnceValue(func() error { return running.start() })
)

// Run runs the package's tests and ends the server if one was started.
func Run(m *testing.M) int {
	code := m.Run()
	Stop()
	return code
}

// Database answers the DSN of a fresh database, starting the server first when
// need be. It fails the test when PostgreSQL is not installed, saying how to get it.
func Database(t testing.TB) string {
	t.Helper()
	require.NoError(t, start())
	name := fmt.Sprintf("test%d", running.databases.Add(1))
	conn, err := pgx.Connect(t.Context(), running.dsn("postgres"))
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	return running.dsn(name)
}

// Schema is Database with the app schema applied.
func Schema(t testing.TB) string {
	t.Helper()
	dsn := Database(t)
	require.NoError(t, app.Up(t.Context(), dsn))
	return dsn
}

func (s *server) dsn(db string) string {
	return fmt.Sprintf("postgres://leanvibe@127.0.0.1:%s/%s?sslmode=disable", s.port, db)
}

func (s *server) start() error {
	initdb, postgres, err := binaries()
	if err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "apptest"); err != nil {
		return err
	}
	attr, err := s.unprivileged()
	if err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	init := exec.Command(initdb, "-D", data, "-U", "leanvibe", "--auth=trust", "--no-sync", "-E", "UTF8")
	init.SysProcAttr, init.Dir = attr, s.dir
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	number, release, err := port.Take()
	if err != nil {
		return err
	}
	s.port, s.release = strconv.Itoa(number), release
	s.cmd = exec.Command(postgres, "-D", data, "-p", s.port, "-k", s.dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
	s.cmd.SysProcAttr, s.cmd.Dir = attr, s.dir
	if err := s.cmd.Start(); err != nil {
		return err
	}
	return s.ready()
}

// ready waits until the server answers.
func (s *server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), startMax)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.dsn("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("postgres does not answer: %w", err)
		case <-tick.C:
		}
	}
}

// Stop ends the server, if one was started; Run does it too.
func Stop() {
	s := &running
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		_ = s.cmd.Wait()
	}
	if s.release != nil {
		s.release()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// unprivileged lets the server run as user postgres where the tests are root,
// since PostgreSQL refuses root.
func (s *server) unprivileged() (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root and there is no user postgres: %w", err)
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(errUID, errGID, os.Chown(s.dir, int(uid), int(gid))); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// binaries finds initdb and postgres in PATH or where Debian puts them.
func binaries() (initdb, postgres string, err error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", "", err
	}
	find := func(name string) (string, error) {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
		for i := len(dirs) - 1; i >= 0; i-- {
			if p, err := exec.LookPath(filepath.Join(dirs[i], name)); err == nil {
				return p, nil
			}
		}
		return "", fmt.Errorf("this test needs a real PostgreSQL: apt-get install postgresql: no %s", name)
	}
	initdb, err = find("initdb")
	if err != nil {
		return "", "", err
	}
	postgres, err = find("postgres")
	return initdb, postgres, err
}
