package archive

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// columns are a row's, in the order of newRow and scanTask.
var columns = []string{
	"id", "idempotency_key", "queue", "handler", "capabilities", "priority", "deadline", "max_attempts", "payload",
	"state", "attempt", "failures", "agent", "submitted_at", "started_at", "finished_at", "result", "error",
}

var insertTask = `INSERT INTO finished_tasks AS old (` + strings.Join(columns, ", ") + `)
VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18)
ON CONFLICT (id) DO UPDATE SET idempotency_key = excluded.idempotency_key, queue = excluded.queue, handler = excluded.handler,
  capabilities = excluded.capabilities, priority = excluded.priority, deadline = excluded.deadline,
  max_attempts = excluded.max_attempts, payload = excluded.payload, state = excluded.state, attempt = excluded.attempt,
  failures = excluded.failures, agent = excluded.agent, submitted_at = excluded.submitted_at,
  started_at = excluded.started_at, finished_at = excluded.finished_at, result = excluded.result, error = excluded.error
WHERE excluded.finished_at > old.finished_at`

var selectTask = `SELECT ` + strings.Join(columns, ", ") + ` FROM finished_tasks WHERE id = $1`

// latest is the end of the year 9999 in Unix µs: no clock is later, and both
// PostgreSQL and the segments can say every time before it.
const latest = 253402300800_000_000 - 1

// storable answers nil when a task can be a row, as far as this program knows: a
// *BoundsError says where a column cannot hold a field.
func storable(t *partition.Task) error {
	if !t.Phase.Finished() {
		return errUnfinished
	}
	for _, c := range []struct {
		field string
		n     int64
		max   int64
	}{
		{"priority", int64(t.Priority), math.MaxInt16},
		{"max_attempts", int64(t.MaxAttempts), math.MaxInt16},
		{"attempt", int64(t.Attempt), math.MaxInt32},
		{"failures", int64(t.Failures), math.MaxInt32},
		{"deadline", t.Deadline, latest},
		{"submitted_at", t.Submitted, latest},
		{"started_at", t.Started, latest},
		{"finished_at", t.Finished, latest},
	} {
		if c.n < 0 || c.n > c.max {
			return &BoundsError{c.field, c.n, 0, c.max}
		}
	}
	return nil
}

// row is a task as the arguments of insertTask, in types of pgx: for each other type it looks
// for a way, and takes memory, at every value.
type row struct {
	id                                           pgtype.UUID
	key, queue, handler, state, agent, text      pgtype.Text
	capabilities                                 pgtype.FlatArray[string]
	priority, maxAttempts, attempt, failures     pgtype.Int4
	deadline, submittedAt, startedAt, finishedAt pgtype.Timestamptz
	payload, result                              []byte
	args                                         []any
}

func newRow() *row {
	r := &row{}
	r.args = []any{
		&r.id, &r.key, &r.queue, &r.handler, &r.capabilities, &r.priority,
		&r.deadline, &r.maxAttempts, &r.payload, &r.state, &r.attempt, &r.failures, &r.agent,
		&r.submittedAt, &r.startedAt, &r.finishedAt, &r.result, &r.text,
	}
	return r
}

// of answers the arguments for a task that is storable, until it is asked for another.
func (r *row) of(t *partition.Task) []any {
	r.id = uuidOf(t.ID)
	r.key, r.queue, r.handler, r.state, r.agent, r.text = pgText(t.Key), pgText(t.Queue), pgText(t.Handler), pgText(t.Phase.String()), pgText(t.Agent), pgText(t.Error)
	r.capabilities = append(r.capabilities[:0], t.Capabilities...)
	for i, c := range r.capabilities {
		r.capabilities[i] = valid(c)
	}
	if r.capabilities == nil {
		r.capabilities = pgtype.FlatArray[string]{} // never NULL
	}
	r.priority, r.maxAttempts, r.attempt, r.failures = pgInt(t.Priority), pgInt(t.MaxAttempts), pgInt(t.Attempt), pgInt(t.Failures)
	r.deadline, r.submittedAt, r.startedAt, r.finishedAt = orNull(t.Deadline), pgTime(t.Submitted), orNull(t.Started), pgTime(t.Finished)
	r.payload, r.result = orEmpty(t.Payload), orEmpty(t.Result)
	return r.args
}

// uuidOf is an id as pgx knows it: another type it would try as a driver.Valuer and more
// before it finds a way, for each value anew.
func uuidOf(id partition.TaskID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

func scanTask(row pgx.Row) (partition.Task, error) {
	var t partition.Task
	var state string
	var deadline, started *time.Time
	var submitted, finished time.Time
	err := row.Scan(&t.ID, &t.Key, &t.Queue, &t.Handler, &t.Capabilities, &t.Priority, &deadline, &t.MaxAttempts, &t.Payload,
		&state, &t.Attempt, &t.Failures, &t.Agent, &submitted, &started, &finished, &t.Result, &t.Error)
	if err != nil {
		return partition.Task{}, err
	}
	if t.Phase, err = phaseOf(state); err != nil {
		return partition.Task{}, err
	}
	t.Submitted, t.Finished = submitted.UnixMicro(), finished.UnixMicro()
	if deadline != nil {
		t.Deadline = deadline.UnixMicro()
	}
	if started != nil {
		t.Started = started.UnixMicro()
	}
	return t, nil
}

// phaseOf is the inverse of Phase.String for what may be archived.
func phaseOf(name string) (partition.Phase, error) {
	for _, p := range []partition.Phase{partition.Completed, partition.Dead, partition.Cancelled} {
		if p.String() == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("state %q is not one of completed, dead, cancelled: the archive is newer than this program", name)
}

func pgText(s string) pgtype.Text { return pgtype.Text{String: valid(s), Valid: true} }

func pgInt(n int) pgtype.Int4 { return pgtype.Int4{Int32: int32(n), Valid: true} }

// valid replaces what PostgreSQL does not take as text: one odd error message must
// not keep a task out of the archive.
func valid(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// pgTime is a time in Unix µs.
func pgTime(micros int64) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: time.UnixMicro(micros), Valid: true}
}

// orNull is a time in Unix µs as a column that may be empty.
func orNull(micros int64) pgtype.Timestamptz {
	if micros == 0 {
		return pgtype.Timestamptz{}
	}
	return pgTime(micros)
}

// orEmpty is never NULL.
func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
