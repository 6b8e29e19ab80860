package flow

import (
	"sort"
	"strings"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

// LockName is the workflow type of a lock; its ID is LockID of the resource.
const LockName = "Lock"

// releaseSignal ends a lock.
const releaseSignal = "release"

// procedureResource is the part of a resource's name that forbids a second run of
// the same procedure.
const procedureResource = "procedure:"

// LockID is the workflow ID that is the lock of a resource.
func LockID(resource string) string { return "lock:" + resource }

// Procedure is the resource that forbids a second run of the same procedure.
func Procedure(name string) string { return procedureResource + name }

// Service is the resource of one Compose service.
func Service(name string) string { return "service:" + name }

// Database is the resource of one database.
func Database(name string) string { return "database:" + name }

// Resources that are one of a kind.
const (
	Proxy  = "proxy"
	Logs   = "logs"
	Images = "images"
)

// Lock is the workflow that is a lock: it is held while it runs, by the workflow
// that started it. The server ends it with its parent (parent-close policy
// terminate), so a lock outlives no holder, however that one ended.
func Lock(ctx workflow.Context, _ string) error {
	workflow.GetSignalChannel(ctx, releaseSignal).Receive(ctx, nil)
	return nil
}

// held is a lock of this run.
type held struct {
	fence runbook.Fence
	lock  workflow.ChildWorkflowFuture
}

// Take takes the locks that the run needs and its parent does not hold, all at
// once at the start, in one order for everybody, so that no two runs wait for each
// other. The same procedure at work is refused at once; another procedure on a
// resource is waited for, at most the policy's lock_wait.
func (r *Run) Take(ctx workflow.Context, resources ...string) error {
	r.phase(ctx, "taking the locks")
	wanted := append([]string(nil), resources...)
	sort.Slice(wanted, func(i, j int) bool {
		a, b := strings.HasPrefix(wanted[i], procedureResource), strings.HasPrefix(wanted[j], procedureResource)
		if a != b {
			return a // refused at once, before anything was waited for
		}
		return wanted[i] < wanted[j]
	})
	until := workflow.Now(ctx).Add(r.Policy.Rolling.LockWait.D())
	for i, resource := range wanted {
		if i > 0 && resource == wanted[i-1] || r.inherited(resource) {
			continue
		}
		if err := r.take(ctx, resource, until); err != nil {
			return err
		}
	}
	r.watchLocks(ctx)
	return nil
}

func (r *Run) inherited(resource string) bool {
	for _, f := range r.frame.Options.Held {
		if f.Resource == resource {
			return true
		}
	}
	return false
}

func (r *Run) take(ctx workflow.Context, resource string, until time.Time) error {
	// Disconnected: a cancelled run's lock must outlive its undo.
	start, _ := workflow.NewDisconnectedContext(ctx)
	start = workflow.WithChildOptions(start, workflow.ChildWorkflowOptions{
		WorkflowID: LockID(resource), TaskQueue: runbook.TaskQueue,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_TERMINATE,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:         "held by " + workflow.GetInfo(ctx).WorkflowExecution.ID,
	})
	var holder runbook.Holder
	for {
		lock := workflow.ExecuteChildWorkflow(start, LockName, resource)
		var ex workflow.Execution
		err := lock.GetChildWorkflowExecution().Get(start, &ex)
		if err == nil {
			r.held = append(r.held, held{runbook.Fence{Resource: resource, Token: ex.RunID}, lock})
			return nil
		}
		if !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			return err
		}
		wait := until
		if strings.HasPrefix(resource, procedureResource) {
			wait = workflow.Now(ctx) // only looks who holds it, and breaks it if that run is over
		}
		if !workflow.Now(ctx).Before(until) && holder.WorkflowID != "" {
			return busy(resource, holder)
		}
		holder, err = Do(ctx, r, runbook.AwaitLock, resource, runbook.AwaitLockInput{
			Lock: LockID(resource), Self: workflow.GetInfo(ctx).WorkflowExecution.ID, Until: wait,
		})
		if err != nil {
			return err
		}
		if !holder.Free {
			return busy(resource, holder)
		}
	}
}

// busy refuses a run whose resource somebody else holds, naming who.
func busy(resource string, h runbook.Holder) error {
	what := resource + " is held by"
	if name, same := strings.CutPrefix(resource, procedureResource); same {
		what = name + " is at work already:"
	}
	return runbook.Fail(runbook.Refused, "%s %s (run %s, since %s); watch it with `hive status %s`, stop it with `hive abort %s`",
		what, h.WorkflowID, h.RunID, h.Since.UTC().Format(time.RFC3339), h.WorkflowID, h.WorkflowID)
}

// Fence is the proof that the run holds the resource, for a write. A resource that
// is not held gives an empty token, which opsworker's gate refuses.
func (r *Run) Fence(resource string) runbook.Fence {
	for _, h := range r.held {
		if h.fence.Resource == resource {
			return h.fence
		}
	}
	for _, f := range r.frame.Options.Held {
		if f.Resource == resource {
			return f
		}
	}
	return runbook.Fence{Resource: resource}
}

// Held are all locks of the run, to be passed to child procedures.
func (r *Run) Held() []runbook.Fence {
	out := append([]runbook.Fence(nil), r.frame.Options.Held...)
	for _, h := range r.held {
		out = append(out, h.fence)
	}
	return out
}

// watchLocks stops the run at its next safe point when one of its locks ends while
// it still needs it: somebody terminated the lock, and others may get in.
func (r *Run) watchLocks(ctx workflow.Context) {
	watch, _ := workflow.NewDisconnectedContext(ctx)
	for _, h := range r.held {
		workflow.Go(watch, func(ctx workflow.Context) {
			_ = h.lock.Get(ctx, nil)
			if r.holds(h) {
				r.lost = h.fence.Resource
				r.stop()
			}
		})
	}
}

func (r *Run) holds(lock held) bool {
	for _, h := range r.held {
		if h.fence == lock.fence {
			return true
		}
	}
	return false
}

// release ends the locks in reverse order and waits until each has closed, so that
// who comes next finds them free.
func (r *Run) release(ctx workflow.Context) {
	locks := r.held
	r.held = nil
	for i := len(locks) - 1; i >= 0; i-- {
		// A lock that was terminated takes no signal; it is free already.
		if err := locks[i].lock.SignalChildWorkflow(ctx, releaseSignal, nil).Get(ctx, nil); err == nil {
			_ = locks[i].lock.Get(ctx, nil)
		}
	}
}
