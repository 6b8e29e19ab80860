package journal

import (
	"errors"
	"fmt"
	"time"
)

// What a caller must tell apart.
var (
	// ErrFenced: a later owner has taken over, or holds the sequence; step down. A
	// lost owner key is a *CorruptError instead.
	ErrFenced = errors.New("fenced: the partition has another owner")
	// ErrUnknown: the context ended before Redis confirmed; Resolve tells.
	ErrUnknown = errors.New("outcome unknown: Redis has not confirmed")
	// ErrPending: an earlier append is unsettled; call Resolve first.
	ErrPending = errors.New("an earlier append is unsettled: call Resolve first")
	// ErrExhausted: sequence or epoch has reached 2^53-1, the last number that is
	// exact in a script; nothing more is appended.
	ErrExhausted = errors.New("sequence or epoch has reached 2^53-1: move the queue to a new partition")
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

// CorruptError names a record, a snapshot part or an owner key that is missing or
// damaged.
type CorruptError struct {
	Key string
	Seq uint64
	Why string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s, sequence %d: %s", e.Key, e.Seq, e.Why)
}
