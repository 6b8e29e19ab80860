package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// postgresBin is where Debian puts PostgreSQL 15.
const postgresBin = "/usr/lib/postgresql/15/bin"

// postgresServer is one cluster in a directory of its own.
type postgresServer struct {
	*process
	port int
}

func (s *postgresServer) dsn() string {
	return fmt.Sprintf("postgres://peers@%s/postgres?sslmode=disable", local(s.port))
}

// startPostgres starts a cluster. With everysec a commit is answered before it is
// on the disk, and the WAL writer's pause bounds what a crash loses to three
// times 333 ms: a second, like Redis and JetStream.
func startPostgres(ctx context.Context, d Durability) (*postgresServer, error) {
	initdb, postgres, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peers-postgres")
	if err != nil {
		return nil, err
	}
	attr, err := unprivileged(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	data := filepath.Join(dir, "data")
	init := exec.CommandContext(ctx, initdb, "-D", data, "-U", "peers", "--auth=trust", "-E", "UTF8")
	init.SysProcAttr, init.Dir = attr, dir
	if out, err := init.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("initdb: %w: %s", err, out), os.RemoveAll(dir))
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	commit := "on"
	if d == EverySec {
		commit = "off"
	}
	cmd := exec.Command(postgres, "-D", data, "-p", strconv.Itoa(ports[0]), "-k", dir, "-c", "listen_addresses=127.0.0.1",
		"-c", "synchronous_commit="+commit, "-c", "wal_writer_delay=333ms", "-c", "shared_buffers=512MB", "-c", "max_wal_size=8GB")
	cmd.SysProcAttr, cmd.Dir = attr, dir
	p, err := launch(dir, cmd)
	if err != nil {
		return nil, err
	}
	s := &postgresServer{p, ports[0]}
	err = p.ready(ctx, func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, s.dsn())
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// stop ends the cluster at once, connections and all: nothing of it is kept.
func (s *postgresServer) stop() error {
	if s == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGINT) // PostgreSQL's fast shutdown; it may have ended already
	return s.process.stop()
}

func postgresPrograms() (initdb, postgres string, err error) {
	found := map[string]string{}
	for _, name := range []string{"initdb", "postgres"} {
		path := filepath.Join(postgresBin, name)
		if _, err := os.Stat(path); err != nil {
			if path, err = exec.LookPath(name); err != nil {
				return "", "", fmt.Errorf("PostgreSQL 15's %s is missing (%s): %w", name, install, err)
			}
		}
		found[name] = path
	}
	return found["initdb"], found["postgres"], nil
}

// unprivileged gives the directory to the user postgres when this program is
// root, since PostgreSQL refuses to run as root.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // no attributes is what an ordinary user needs
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("as root the user postgres is needed (%s): %w", install, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}
