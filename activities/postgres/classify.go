package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leanvibe/hive/workflows/runbook"
)

// kinds by SQLSTATE (PostgreSQL documentation, Appendix A).
var kinds = map[string]runbook.Kind{
	"28000": runbook.Refused,     // invalid_authorization_specification
	"28P01": runbook.Refused,     // invalid_password
	"42501": runbook.Refused,     // insufficient_privilege
	"3D000": runbook.Missing,     // invalid_catalog_name
	"42P01": runbook.Missing,     // undefined_table
	"42704": runbook.Missing,     // undefined_object
	"3F000": runbook.Missing,     // invalid_schema_name
	"55P03": runbook.Busy,        // lock_not_available
	"40P01": runbook.Busy,        // deadlock_detected
	"55006": runbook.Busy,        // object_in_use
	"53300": runbook.Busy,        // too_many_connections
	"57014": runbook.Busy,        // query_canceled, by somebody else: our own cancels are seen before
	"57P01": runbook.Unreachable, // admin_shutdown
	"57P02": runbook.Unreachable, // crash_shutdown
	"57P03": runbook.Unreachable, // cannot_connect_now
	"53100": runbook.Unsafe,      // disk_full
	"23505": runbook.Corrupt,     // unique_violation: a unique index over doubled rows
	"XX001": runbook.Corrupt,     // data_corrupted
	"XX002": runbook.Corrupt,     // index_corrupted
}

// wayOut says what to do, where the state alone does not.
var wayOut = map[string]string{
	"28000": "; check user and pg_hba.conf",
	"28P01": "; check the user's password file",
	"53100": "; free some space on the database's disk",
	"23505": "; the rows behind a unique index are doubled, which no rebuild can mend",
}

// classify turns an error of PostgreSQL, or of the way there, into a kind. A
// cancellation stays what it is: Temporal knows its own.
func classify(err error, in runbook.DatabaseInput) error {
	if err == nil || errors.Is(err, context.Canceled) || runbook.KindOf(err) != "" {
		return err
	}
	where := fmt.Sprintf("PostgreSQL (service %s, database %s)", in.Database.Service, in.Database.Name)
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		kind, known := kinds[pg.Code]
		if !known {
			kind = runbook.Refused
			if class := pg.Code[:2]; class == "08" || class == "53" || class == "57" || class == "58" {
				kind = runbook.Unreachable
			}
		}
		return runbook.Fail(kind, "%s: %s (SQLSTATE %s)%s", where, pg.Message, pg.Code, wayOut[pg.Code])
	}
	return runbook.Fail(runbook.Unreachable, "%s does not answer: %v", where, reason(err))
}

// reason is the innermost text: pgx's own repeats user and database on each level.
func reason(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
