package matcher

import (
	"errors"
	"fmt"
)

// Bounds and stale handles, for errors.Is.
var (
	// ErrTooManyShapes: MaxShapes distinct capability sets are in use.
	ErrTooManyShapes = errors.New("too many distinct capability sets")
	// ErrTooManyCapabilities: MaxCapabilities names are known.
	ErrTooManyCapabilities = errors.New("too many distinct capabilities")
	// ErrTooManyTasks: Config.MaxTasks tasks are waiting or running.
	ErrTooManyTasks = errors.New("too many tasks")
	// ErrTooManyAgents: Config.MaxAgents agents are attached.
	ErrTooManyAgents = errors.New("too many agents")
	// ErrTooManyQueues: Config.MaxQueues queues exist.
	ErrTooManyQueues = errors.New("too many queues")
	// ErrNoTask: the handle names no task, or one that has gone.
	ErrNoTask = errors.New("no such task")
	// ErrNoAgent: the handle names no agent, or one that was removed.
	ErrNoAgent = errors.New("no such agent")
	// ErrNotWaiting: the task is already running.
	ErrNotWaiting = errors.New("task is not waiting")
	// ErrNotRunning: the task is still waiting.
	ErrNotRunning = errors.New("task is not running")
	// ErrBound: the task's agent is attached.
	ErrBound = errors.New("task runs on an agent that is attached")
)

// A FieldError says which input was wrong, what is expected and an example.
type FieldError struct {
	Field, Expected, Example string
	Got                      int64
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("%s is %d: expected %s, for example %s", e.Field, e.Got, e.Expected, e.Example)
}

func inRange(field string, got, low, high int64, example string) error {
	if got >= low && got <= high {
		return nil
	}
	return &FieldError{Field: field, Got: got, Expected: fmt.Sprintf("%d to %d", low, high), Example: example}
}
