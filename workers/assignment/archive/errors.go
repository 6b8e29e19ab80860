package archive

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// UnreachableError is a question that PostgreSQL could not be asked, or did not
// answer: whether the task is archived is unknown.
type UnreachableError struct{ Err error }

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("the archive in PostgreSQL cannot be asked: %v: try again when it answers", e.Err)
}

// Unwrap answers what went wrong.
func (e *UnreachableError) Unwrap() error { return e.Err }

// BoundsError is a task with a field that its column cannot hold.
type BoundsError struct {
	Field    string
	Value    int64
	Min, Max int64
}

func (e *BoundsError) Error() string {
	return fmt.Sprintf("%s is %d, and the archive holds %d to %d", e.Field, e.Value, e.Min, e.Max)
}

// errUnfinished is a task offered before its end; it is offered again at its end.
var errUnfinished = errors.New("the task has not finished")

// stateCheck is the constraint on a row's state, oneOfEach the one on its id.
const (
	stateCheck = "finished_tasks_state_check"
	oneOfEach  = "finished_tasks_pkey"
)

// overtaken tells whether another writer has just stored one of the tasks.
func overtaken(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == oneOfEach
}

// refused tells whether a task's own data is why PostgreSQL does not take it: trying
// again would not help.
func refused(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 {
		return false
	}
	class := pg.Code[:2] // 22: data exception, 23: integrity constraint violation
	return (class == "22" || class == "23") && pg.ConstraintName != stateCheck && !overtaken(err)
}

// explained adds the way out where the schema is older than this program: every
// finished state is known to the newest one, so a task is not refused for it.
func explained(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.ConstraintName == stateCheck {
		return fmt.Errorf("table finished_tasks does not know a task's state: "+
			"the app schema is older than this program (hive up brings it up to date): %w", err)
	}
	return err
}
