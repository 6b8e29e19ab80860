// Package ledger holds the schema of the ledger, the record of what procedures did
// to the stack, as goose migrations. It lies in a PostgreSQL of its own.
package ledger

import (
	"context"
	"embed"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Role is who writes the ledger: it may add rows, never change or delete one.
const Role = "hive_ledger"

//go:embed *.sql
var files embed.FS

// Up brings the database at dsn, its owner's with password, to the newest schema,
// and makes the role. Two callers at once are safe: an advisory session lock lets
// one work and the other find nothing to do.
func Up(ctx context.Context, dsn string) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return fmt.Errorf("ledger schema: %w", err)
	}
	// An owner called ledger would find goose's own table in the schema of that name, once there is one.
	config.RuntimeParams["search_path"] = "public"
	db := stdlib.OpenDB(*config)
	defer db.Close()
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("ledger schema: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("ledger schema: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("ledger schema: %w", err)
	}
	return nil
}
