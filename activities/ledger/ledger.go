// Package ledger is the hand on the ledger: the append-only record of what was
// done to the stack, by whom, for which run. Rows are chained by a keyed hash,
// whose key the database never sees, so that a row that was edited, moved, deleted
// or slipped in is found and named, and a tail that was cut, too.
//
//	row.go     what a row holds          book.go    the one writer: group commits, the spool's turn
//	encode.go  the bytes that are hashed store.go   one transaction: head locked, rows chained, head moved
//	seal.go    the keyed hash            spool.go   rows on disk while the database is away
//	act.go     what an act leaves        head.go    the head, kept in a file outside the database
//	show.go    rows by run, target, time verify.go  the stream;  chain.go  what is wrong with it
//
// Inputs never come here, only their digests.
package ledger

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// Address is where the platform's ledger listens.
	Address = "127.0.0.1:5433"
	// KeyFile holds the key of the hash chain, relative to the project.
	KeyFile = "secrets/ledger_key"
	// PasswordFile holds the password of the role that writes rows.
	PasswordFile = "secrets/ledger_password"
	// StateDir holds the head and the spool.
	StateDir = "out/state/ledger"

	database = "ledger"
	role     = "hive_ledger"
	// keyMin is the least length of the key, in bytes.
	keyMin     = 32
	connectMax = time.Second
)

// Config says which ledger.
type Config struct {
	// ProjectDir is the absolute project root.
	ProjectDir string
	// Address is the database's "ip:port", or "ip:port/name" where it is not called
	// ledger; empty means Address.
	Address string
	// Log hears when the database goes away and comes back; nil for nobody.
	Log *slog.Logger
}

func (c Config) address() string {
	if c.Address == "" {
		return Address
	}
	return c.Address
}

func (c Config) state() string { return filepath.Join(c.ProjectDir, StateDir) }

func (c Config) key() (*seal, error) {
	secret, err := c.secret(KeyFile)
	if err != nil {
		return nil, err
	}
	if len(secret) < keyMin {
		return nil, runbook.Fail(runbook.Refused, "%s holds %d bytes: the ledger's key needs at least %d", KeyFile, len(secret), keyMin)
	}
	return newSeal(secret), nil
}

// connection is how the database is reached.
func (c Config) connection() (*pgx.ConnConfig, error) {
	password, err := c.secret(PasswordFile)
	if err != nil {
		return nil, err
	}
	where := c.address()
	if !strings.Contains(where, "/") {
		where += "/" + database
	}
	cfg, err := pgx.ParseConfig("postgres://" + role + "@" + where + "?sslmode=prefer")
	if err != nil {
		return nil, runbook.Fail(runbook.Refused, "%q is no address of the ledger's database; write for example %s", c.address(), Address)
	}
	cfg.ConnectTimeout = connectMax
	cfg.Password = string(password)
	cfg.RuntimeParams["application_name"] = "hive-ledger"
	return cfg, nil
}

func (c Config) secret(file string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(c.ProjectDir, file))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, runbook.Fail(runbook.Missing, "%s does not exist: `hive up` writes it", file)
	case err != nil:
		return nil, runbook.Fail(runbook.Refused, "%s cannot be read: it must be readable to who asks", file)
	}
	return bytes.TrimRight(raw, "\r\n"), nil
}
