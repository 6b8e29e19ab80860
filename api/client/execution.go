package client

import (
	"context"
	"errors"
	"time"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// execution is one task in hand.
type execution struct {
	assignment *hivev1.Assignment
	cancel     context.CancelCauseFunc
}

// releaseMax bounds giving a task back; after it the lease runs out.
const releaseMax = 5 * time.Second

// errorMax is what the server takes of an error text, in bytes.
const errorMax = 4 << 10

// start executes an assignment in the background.
func (a *Agent) start(calls context.Context, as *hivev1.Assignment) {
	ctx, cancel := context.WithCancelCause(calls)
	e := &execution{assignment: as, cancel: cancel}
	id := as.GetExecution().GetTaskId()
	a.mu.Lock()
	if old := a.held[id]; old != nil {
		if as.GetExecution().GetAttempt() <= old.assignment.GetExecution().GetAttempt() {
			a.mu.Unlock()
			cancel(nil)
			return // told twice, or late: by an owner of the task's partition that is not its owner any more
		}
		// A newer attempt of the same task: the older one's lease is gone.
		old.cancel(ErrLost)
	}
	a.held[id] = e
	a.mu.Unlock()
	if a.cfg.Taken != nil {
		a.cfg.Taken()
	}
	a.work.Go(func() {
		defer cancel(nil)
		err := a.execute(ctx, calls, as)
		a.mu.Lock()
		if a.held[id] == e {
			delete(a.held, id)
		}
		a.mu.Unlock()
		if a.cfg.Done != nil {
			a.cfg.Done(err)
		}
	})
}

// execute runs the handler and reports, or gives the task back.
func (a *Agent) execute(ctx, calls context.Context, as *hivev1.Assignment) error {
	result, err := a.cfg.Handle(ctx, as)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrLost):
		a.cfg.Log.Warn("stopped a task that is not held any more", "task", as.GetExecution().GetTaskId())
		return cause
	case errors.Is(cause, ErrGraceOver) && err != nil:
		a.release(calls, as)
		return cause
	}
	req := &hivev1.CompleteRequest{AgentId: a.cfg.ID, Execution: as.GetExecution(), Result: result}
	if err != nil {
		var final finalError
		req.Result, req.Error, req.Final = nil, errorText(err), errors.As(err, &final)
	}
	return errors.Join(err, a.report(ctx, calls, req))
}

func errorText(err error) string {
	s := err.Error()
	if s == "" {
		s = "the handler failed without saying why"
	}
	return s[:min(len(s), errorMax)]
}

// report sends the end of an execution until it is answered, or until the lease
// is known to be lost.
func (a *Agent) report(ctx, calls context.Context, req *hivev1.CompleteRequest) error {
	if errors.Is(context.Cause(ctx), ErrGraceOver) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(calls, releaseMax)
		defer cancel()
	}
	r, err := call(ctx, a.rpc.rpc.Complete, req)
	switch {
	case err != nil:
		a.cfg.Log.Warn("result not reported", "task", req.GetExecution().GetTaskId(), "error", err)
		return err
	case !r.GetAccepted():
		a.cfg.Log.Warn("result refused", "task", req.GetExecution().GetTaskId(), "reason", r.GetReason())
		return ErrLost
	}
	return nil
}

// release gives a task back unfinished.
func (a *Agent) release(ctx context.Context, as *hivev1.Assignment) {
	ctx, cancel := context.WithTimeout(ctx, releaseMax)
	defer cancel()
	req := &hivev1.ReleaseRequest{AgentId: a.cfg.ID, Executions: []*hivev1.Execution{as.GetExecution()}}
	if _, err := call(ctx, a.rpc.rpc.Release, req); err != nil {
		a.cfg.Log.Warn("could not give a task back; its lease will run out", "task", as.GetExecution().GetTaskId(), "error", err)
	}
}
