package engine

import (
	"context"
	"math"
	"strings"
	"time"
)

// Handler executes tasks. One handler serves all agents of its group at once, so
// it must be safe for concurrent use.
type Handler interface {
	// Handle executes one task and answers its result, at most 256 KiB. The context
	// ends at the task's deadline, when the lease is lost and when the engine's grace
	// is over; Handle must return soon after it. An error that Permanent marked goes
	// to the dead letters at once, any other is tried again while attempts are left.
	// A panic is such an error with the panic's message. A task may be given out more
	// than once, so Handle must bear being repeated: Task.ID stays the same.
	Handle(ctx context.Context, task *Task) ([]byte, error)
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, task *Task) ([]byte, error)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, task *Task) ([]byte, error) { return f(ctx, task) }

// Task is one execution of a task, as its handler sees it. A Task that a test
// makes by hand is a valid one; its progress goes nowhere.
type Task struct {
	// ID names the task; every attempt has the same.
	ID string
	// Attempt counts the executions, from 1.
	Attempt int
	// Queue, Handler and Priority are as submitted.
	Queue, Handler string
	Priority       int
	// Agent executes it.
	Agent string
	// Deadline of the task; zero: none.
	Deadline time.Time
	// Payload is at most 256 KiB; it is the handler's to change.
	Payload []byte

	report func(fraction float64, note string)
}

// noteMax bounds the text of one progress report, in bytes.
const noteMax = 1 << 10

// Progress tells how far the execution is: a share from 0 to 1 and a few words,
// at most 1 KiB. It never blocks and never fails. Where the configuration names no
// address it does nothing; else the newest report is sent, at most one each
// progress.every, so a handler may call it as often as it likes.
func (t *Task) Progress(fraction float64, note string) {
	if t.report == nil {
		return
	}
	if math.IsNaN(fraction) {
		fraction = 0
	}
	if len(note) > noteMax {
		note = strings.ToValidUTF8(note[:noteMax], "")
	}
	t.report(min(max(fraction, 0), 1), note)
}
