package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// resultMax is what the server takes as a result, in bytes.
const resultMax = 256 << 10

// unknownHandler labels executions of handlers that a group does not have: the
// name comes from outside, and a metric's labels must stay bounded.
const unknownHandler = "unknown"

// errDeadline is why a context ends at its task's deadline.
var errDeadline = errors.New("the task's deadline has passed")

// panicError is a handler's panic.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("the handler panicked: %v", e.value) }

// group is what the agents of one group share.
type group struct {
	handlers map[string]Handler
	progress ProgressOptions
	publish  publish // nil: progress goes nowhere
	budget   *budget
	metrics  *metrics
	log      *slog.Logger
}

// execute runs the handler that the task names and tells the client what to report.
func (g *group) execute(ctx context.Context, agent string, as *hivev1.Assignment) ([]byte, error) {
	task := newTask(agent, as)
	h, ok := g.handlers[task.Handler]
	if !ok {
		g.metrics.finished.WithLabelValues(unknownHandler, "permanent").Inc()
		return nil, client.Final(fmt.Errorf("agent %s has no handler %q: give the task the handler's name as a capability, so that only agents that have it get it",
			agent, task.Handler))
	}
	if !task.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, task.Deadline, errDeadline)
		defer cancel()
	}
	if g.publish != nil {
		r := &reporter{task: task, options: g.progress, budget: g.budget, publish: g.publish, metrics: g.metrics}
		task.report = r.report
		defer r.end()
	}
	defer g.metrics.time(task.Handler)()
	result, err := g.guarded(ctx, h, task)
	if err == nil && len(result) > resultMax {
		err = Permanent(fmt.Errorf("the result has %d bytes: at most %d are taken", len(result), resultMax))
	}
	outcome, err := judge(context.Cause(ctx), err)
	g.metrics.finished.WithLabelValues(task.Handler, outcome).Inc()
	if err != nil {
		return nil, err
	}
	return result, nil
}

// guarded turns a panic into the execution's error.
func (g *group) guarded(ctx context.Context, h Handler, task *Task) (result []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			g.log.Error("a handler panicked", "handler", task.Handler, "task", task.ID, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = &panicError{v}
		}
	}()
	return h.Handle(ctx, task)
}

// judge names the outcome of an execution and marks errors that no retry mends.
func judge(cause, err error) (string, error) {
	var panicked *panicError
	switch {
	case errors.Is(cause, client.ErrLost):
		return "lost", err
	case err == nil:
		return "ok", nil
	case errors.Is(cause, client.ErrGraceOver):
		return "released", err
	case errors.As(err, &panicked):
		return "panic", err
	case errors.Is(cause, errDeadline):
		// Another attempt would not be started any more.
		return "deadline", client.Final(fmt.Errorf("%w: %w", errDeadline, err))
	case permanent(err):
		return "permanent", client.Final(err)
	default:
		return "retryable", err
	}
}

func newTask(agent string, as *hivev1.Assignment) *Task {
	t := &Task{
		ID: as.GetExecution().GetTaskId(), Attempt: int(as.GetExecution().GetAttempt()),
		Queue: as.GetQueue(), Handler: as.GetHandler(), Priority: int(as.GetPriority()),
		Agent: agent, Payload: as.GetPayload(),
	}
	if d := as.GetDeadline(); d != nil {
		t.Deadline = d.AsTime().In(time.UTC)
	}
	return t
}
