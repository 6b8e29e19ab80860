package ledger

import (
	"context"
	"errors"
	"net"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leanvibe/hive/workflows/runbook"
)

// wayOut says what to do, by SQLSTATE (PostgreSQL documentation, Appendix A).
var wayOut = map[string]string{
	"28P01": "; check " + PasswordFile + ", or let `hive up` set it again",
	"28000": "; check its pg_hba.conf",
	"3D000": "; `hive up` makes it",
	"42P01": "; `hive up` makes its tables",
	"3F000": "; `hive up` makes its tables",
	"53100": "; free some space on its disk",
}

// refusals are states that no waiting mends.
var refusals = map[string]runbook.Kind{
	"28P01": runbook.Refused, "28000": runbook.Refused, "42501": runbook.Refused,
	"3D000": runbook.Missing, "42P01": runbook.Missing, "3F000": runbook.Missing,
	"42703": runbook.Corrupt, "XX001": runbook.Corrupt, "XX002": runbook.Corrupt,
}

// classify turns an error of the ledger's database, or of the way there, into a kind.
func classify(err error, host string, port uint16) error {
	if err == nil || errors.Is(err, context.Canceled) || runbook.KindOf(err) != "" {
		return err
	}
	where := "the ledger's database at " + net.JoinHostPort(host, strconv.Itoa(int(port)))
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		kind, known := refusals[pg.Code]
		if !known {
			kind = runbook.Unreachable
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

// unwritten is the failure of an act that could not be put on record.
func unwritten(err error) error {
	return runbook.Fail(runbook.Unreachable, "nothing can be put on record, so nothing is done: %v; look at %s and the space on its disk", err, StateDir)
}
