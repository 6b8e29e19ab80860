package partition

import (
	"errors"
	"fmt"
	"time"
)

// What a caller must tell apart.
var (
	// ErrLost: this replica does not own the partition any more. Whether the call has
	// taken effect is unknown; ask the owner, with the same idempotency key.
	ErrLost = errors.New("the partition has moved to another owner: ask it, with the same idempotency key")
	// ErrNotFound: no such task is kept.
	ErrNotFound = errors.New("no such task")
	// ErrExpired: the deadline of a draft has passed.
	ErrExpired = errors.New("deadline has passed")
)

// ConflictError is an idempotency key that names a task with another body.
type ConflictError struct {
	Key  string
	Task TaskID
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("idempotency key %q was used for task %s with another body; nothing was stored", e.Key, e.Task)
}

// BusyError is a bound that was met: nothing was stored, and the same call may
// succeed after RetryAfter.
type BusyError struct {
	Reason     string
	RetryAfter time.Duration
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("%s; try again in %s", e.Reason, e.RetryAfter)
}

// NotWaitingError is a cancel of a task that runs or has finished.
type NotWaitingError struct {
	Task  TaskID
	Phase Phase
}

func (e *NotWaitingError) Error() string {
	return fmt.Sprintf("task %s is %s: only a waiting task can be cancelled", e.Task, e.Phase)
}

// RecordError is a journal record that does not read, or does not follow from those
// before it.
type RecordError struct {
	// Seq is the journal's sequence, 0 in a snapshot; Index counts within it.
	Seq   uint64
	Index int
	Why   string
}

func (e *RecordError) Error() string {
	where := fmt.Sprintf("journal sequence %d", e.Seq)
	if e.Seq == 0 {
		where = "snapshot"
	}
	return fmt.Sprintf("%s, record %d: %s: restore the partition's keys from a backup", where, e.Index, e.Why)
}
