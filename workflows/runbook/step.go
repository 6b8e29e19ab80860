package runbook

import (
	"cmp"
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// TaskQueue is the queue every procedure and every hand of opsworker polls.
const TaskQueue = "operations"

// Step is one thing a hand can do: its wire name, how long it may take, how it
// is retried, and what it does to the world. The zero value of each duration
// takes the default named beside it.
type Step[In, Out any] struct {
	// Name is the activity type, "<system>.<VerbObject>"; histories outlive tools,
	// so it names the problem's nouns.
	Name string
	// Effect is Read unless said otherwise.
	Effect Effect
	// Queue is whose workers answer it (default TaskQueue, opsworker's).
	Queue string
	// Pickup is how long it may wait for a worker (default: Total). It is set where
	// nobody may be there, and the step is not worth waiting for.
	Pickup time.Duration
	// Timeout bounds one attempt (default 30 s).
	Timeout time.Duration
	// Total bounds all attempts together (default 10 × Timeout).
	Total time.Duration
	// Heartbeat is the longest silence of an attempt (default 10 s); cancellation
	// reaches the hand through heartbeats only, so it is always set.
	Heartbeat time.Duration
	// Attempts bounds the retries (default: unlimited within Total).
	Attempts int32
	// Summary is one plain line for the Temporal UI's timeline, made from the input.
	Summary func(In) string
}

// Registry is what steps bind to: a Temporal worker, or a test environment.
type Registry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// Bind gives the step its one handler. It panics when the name is taken, which
// is a mistake of the program and not of the run.
func (s Step[In, Out]) Bind(r Registry, handler func(context.Context, In) (Out, error)) {
	r.RegisterActivityWithOptions(handler, activity.RegisterOptions{Name: s.Name})
}

// Run runs the step and waits for its result. The error, when there is one,
// carries a Kind (see KindOf).
func (s Step[In, Out]) Run(ctx workflow.Context, in In) (Out, error) {
	return s.Start(ctx, in).Get(ctx)
}

// Start begins the step and returns at once.
func (s Step[In, Out]) Start(ctx workflow.Context, in In) Future[Out] {
	ctx = workflow.WithActivityOptions(ctx, s.options(in))
	return Future[Out]{workflow.ExecuteActivity(ctx, s.Name, in)}
}

func (s Step[In, Out]) options(in In) workflow.ActivityOptions {
	timeout := or(s.Timeout, 30*time.Second)
	o := workflow.ActivityOptions{
		TaskQueue:              cmp.Or(s.Queue, TaskQueue),
		ScheduleToStartTimeout: s.Pickup,
		StartToCloseTimeout:    timeout,
		ScheduleToCloseTimeout: or(s.Total, 10*timeout),
		HeartbeatTimeout:       or(s.Heartbeat, 10*time.Second),
		// A write that is cancelled must have stopped before the undo begins.
		WaitForCancellation: true,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:        500 * time.Millisecond,
			BackoffCoefficient:     2,
			MaximumInterval:        10 * time.Second,
			MaximumAttempts:        s.Attempts,
			NonRetryableErrorTypes: finalKinds(),
		},
	}
	if s.Summary != nil {
		o.Summary = s.Summary(in)
	}
	return o
}

// Future is a step that has been started.
type Future[Out any] struct{ workflow.Future }

// Get waits for the step's result.
func (f Future[Out]) Get(ctx workflow.Context) (Out, error) {
	var out Out
	err := f.Future.Get(ctx, &out)
	return out, err
}

func or(d, fallback time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return fallback
}
