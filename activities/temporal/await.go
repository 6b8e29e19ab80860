package temporal

import (
	"context"
	"fmt"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// lookEvery bounds one wait for the lock's close: between two waits the holder
	// is looked at again, because one that ended without its lock frees nothing.
	lookEvery = 30 * time.Second
	// policyGrace is what the server has to free the lock of a holder that has just
	// closed, by its parent-close policy (measured: at most 58 ms).
	policyGrace = 2 * time.Second
)

// Await answers runbook.AwaitLock. It waits for the close of the lock's run that
// is open at its first look; who takes the lock after that is the next wait's.
func (h Hand) Await(ctx context.Context, in runbook.AwaitLockInput) (runbook.Holder, error) {
	if !isLock(in.Lock) {
		return runbook.Holder{}, runbook.Fail(runbook.Refused, "%q is no lock: write %s<resource>, such as %sproxy", in.Lock, prefix, prefix)
	}
	defer beating(ctx)()
	for run := ""; ; {
		lock, found, err := h.execution(ctx, in.Lock, run)
		held := holder(in.Lock, lock)
		if err != nil {
			return held, err
		}
		if !found || !lock.open {
			held.Free = true
			return held, nil
		}
		run = lock.run
		if gone, err := h.gone(ctx, lock, in); err != nil {
			return held, err
		} else if gone {
			return h.breakUp(ctx, lock, in)
		}
		left := time.Until(in.Until)
		if left <= 0 {
			return held, nil
		}
		if held.Free, err = h.closes(ctx, in.Lock, run, min(left, lookEvery)); held.Free || err != nil {
			return held, err
		}
	}
}

// gone says whether the lock's holder has closed and nobody goes on in its name:
// an open run of the same ID (a reset, a continuation) counts as the holder, unless
// it is the run that waits here.
func (h Hand) gone(ctx context.Context, lock execution, in runbook.AwaitLockInput) (bool, error) {
	if lock.parent == "" {
		return false, nil // opsworker's own, or started by hand: there is no run to look at
	}
	run, found, err := h.execution(ctx, lock.parent, lock.itsRun)
	if err != nil {
		return false, err
	}
	if found && run.open {
		if lock.parent == in.Self {
			return false, runbook.Fail(runbook.Refused, "%s is held by %s itself: it must pass on the fence that it has, not take the lock again", in.Lock, in.Self)
		}
		return false, nil
	}
	if lock.parent == in.Self {
		return true, nil
	}
	latest, found, err := h.execution(ctx, lock.parent, "")
	return err == nil && (!found || !latest.open), err
}

// breakUp ends a lock that its holder left behind. It is named by its run: a lock
// that somebody took meanwhile has another.
func (h Hand) breakUp(ctx context.Context, lock execution, in runbook.AwaitLockInput) (runbook.Holder, error) {
	held := holder(in.Lock, lock)
	closed, err := h.closes(ctx, in.Lock, lock.run, policyGrace)
	if err != nil {
		return held, err
	}
	if !closed {
		reason := fmt.Sprintf("broken by %s: the holder %s (run %s) is closed and has left the lock behind", in.Self, lock.parent, lock.itsRun)
		err := h.Client.TerminateWorkflow(ctx, in.Lock, lock.run, reason)
		if err != nil && !missing(err) {
			return held, classify(ctx, err, in.Lock)
		}
		held.Broken = err == nil
	}
	held.Free = true
	return held, nil
}
