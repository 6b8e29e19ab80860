package journal

import (
	"errors"
	"fmt"
	"time"
)

// What a caller must tell apart.
var (
	// ErrFenced: another owner has taken over, which Redis knows by a higher epoch; step down. What this owner appended and
	// had acknowledged stands; nothing more of it will be taken.
	ErrFenced = errors.New("fenced: the partition has another owner")
	// ErrUnknown: the context ended before Redis confirmed; Resolve tells.
	ErrUnknown = errors.New("outcome unknown: Redis has not confirmed")
	// ErrPending: an earlier append is unsettled; call Resolve first.
	ErrPending = errors.New("an earlier append is unsettled: call Resolve first")
	// ErrNothingPending: Resolve was called with no append unsettled.
	ErrNothingPending = errors.New("no append is unsettled")
)

// HeldError says who holds the partition and for how long.
type HeldError struct {
	Name string
	Left time.Duration
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("partition is held by %s for another %s", e.Name, e.Left)
}

// CorruptError names a record or snapshot part that is missing or damaged.
type CorruptError struct {
	Key string
	Seq uint64
	Why string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s, sequence %d: %s", e.Key, e.Seq, e.Why)
}

// RefusedError is an answer of Redis that trying again does not change: wrong
// password or rights, a key of another type, a script that it does not understand.
type RefusedError struct {
	Key string
	Err error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("Redis refuses to work on %s: %v; see the user's rights, the password, and what else uses keys of this name", e.Key, e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }
