package assignment

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// FieldProblem says what is wrong with one field of a request.
type FieldProblem struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// InvalidError is a request that can never succeed as it is.
type InvalidError struct{ Fields []FieldProblem }

func (e *InvalidError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Field + " " + f.Problem
	}
	return strings.Join(parts, "; ")
}

// TooLargeError is a payload or result over its bound, in bytes.
type TooLargeError struct {
	What      string
	Size, Max int
}

func (e *TooLargeError) Error() string {
	if e.Size == 0 {
		return fmt.Sprintf("%s is over %d bytes", e.What, e.Max)
	}
	return fmt.Sprintf("%s has %d bytes, at most %d are accepted", e.What, e.Size, e.Max)
}

// ConflictError is an idempotency key that already names another body.
type ConflictError struct{ Key, TaskID string }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("idempotency key %q was used for task %s with another body; nothing was stored", e.Key, e.TaskID)
}

// BusyError is a bound of the whole service: the same request may succeed later.
type BusyError struct {
	Reason     string
	RetryAfter time.Duration
}

func (e *BusyError) Error() string { return e.Reason }

// ErrNotFound is a task that neither Redis nor the archive knows.
var ErrNotFound = errors.New("no such task")

// unavailable wraps a failure of Redis or PostgreSQL for the caller.
func unavailable(what string, err error) error {
	return &BusyError{Reason: fmt.Sprintf("%s: %v", what, err), RetryAfter: time.Second}
}

func isTaskID(id string) bool {
	return len(id) == 36 && uuid.Validate(id) == nil
}
