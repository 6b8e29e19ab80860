package wire

import (
	"errors"
	"time"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// Kind is what an error of a partition means to a caller. The names travel between
// replicas: never change them.
type Kind string

// The kinds of errors; Other is every error that no partition answers on purpose.
const (
	Other      Kind = ""
	Lost       Kind = "lost"
	NotFound   Kind = "not_found"
	Busy       Kind = "busy"
	Conflict   Kind = "conflict"
	Expired    Kind = "expired"
	NotWaiting Kind = "not_waiting"
	NotDead    Kind = "not_dead"
	Damaged    Kind = "damaged"
)

// KindOf answers the kind of an error, of this replica's partition or of another's.
func KindOf(err error) Kind {
	var refusal *Refusal
	var busy *partition.BusyError
	var conflict *partition.ConflictError
	var notWaiting *partition.NotWaitingError
	var notDead *partition.NotDeadError
	var damaged *partition.BodyError
	switch {
	case errors.As(err, &refusal):
		return refusal.Kind
	case errors.Is(err, partition.ErrLost):
		return Lost
	case errors.Is(err, partition.ErrNotFound):
		return NotFound
	case errors.Is(err, partition.ErrExpired):
		return Expired
	case errors.As(err, &busy):
		return Busy
	case errors.As(err, &conflict):
		return Conflict
	case errors.As(err, &notWaiting):
		return NotWaiting
	case errors.As(err, &notDead):
		return NotDead
	case errors.As(err, &damaged):
		return Damaged
	}
	return Other
}

// RetryAfter is when a busy partition may be asked again; 0 for any other error.
func RetryAfter(err error) time.Duration {
	var refusal *Refusal
	var busy *partition.BusyError
	switch {
	case errors.As(err, &refusal):
		return refusal.RetryAfter
	case errors.As(err, &busy):
		return busy.RetryAfter
	}
	return 0
}

// Refusal is an error that a partition of another replica has answered.
type Refusal struct {
	Kind       Kind
	Text       string
	RetryAfter time.Duration
}

func (r *Refusal) Error() string { return r.Text }
