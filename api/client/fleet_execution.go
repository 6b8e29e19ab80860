package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// errUnanswered is a report that nobody answered in time.
var errUnanswered = errors.New("the server did not answer in time")

// held is one task in hand. The fleet's lock guards it.
type held struct {
	m         *member
	execution *hivev1.Execution
	cancel    context.CancelCauseFunc
	lost      bool // not the agent's any more, or of an attempt that a newer one has followed
	over      bool
	older     *held // an earlier attempt whose report is not answered: only the server knows what became of it

	report *hivev1.CompleteRequest // how it ended; nil: it runs
	err    error                   // the handler's
	ended  time.Time
	sent   time.Time // zero: the report waits to be sent
	frame  uint64    // by which it was sent last
}

// start takes an assignment; what it answers begins it, without the lock.
func (f *Fleet) start(id string, as *hivev1.Assignment) (begin func()) {
	m := f.agents[id]
	if m == nil || !m.overSince.IsZero() {
		f.giveBack(id, as.GetExecution())
		if m == nil {
			f.stray(id)
		}
		return nil
	}
	task := as.GetExecution().GetTaskId()
	ctx, cancel := context.WithCancelCause(f.calls)
	h := &held{m: m, execution: as.GetExecution(), cancel: cancel}
	if old := m.held[task]; old != nil {
		if h.execution.GetAttempt() <= old.execution.GetAttempt() {
			cancel(nil)
			return nil // told twice, or late: by an owner of the task's partition that is not its owner any more
		}
		// A newer attempt of the same task: the older one's lease is gone.
		old.lost = true
		old.cancel(ErrLost)
		if h.older = old; old.report == nil {
			h.older = old.older
		}
	}
	m.held[task] = h
	return func() {
		each([]func(){m.cfg.Taken})
		f.work.Go(func() {
			result, err := m.cfg.Handle(ctx, as)
			cause := context.Cause(ctx)
			cancel(nil)
			f.handled(h, cause, result, err)
		})
	}
}

// handled takes what a handler answered: it is reported, or the task is given back.
func (f *Fleet) handled(h *held, cause error, result []byte, err error) {
	f.mu.Lock()
	var call func()
	switch {
	case h.lost || errors.Is(cause, ErrLost):
		h.m.cfg.Log.Warn("stopped a task that is not held any more", "task", h.execution.GetTaskId())
		call = f.end(h, ErrLost)
	case errors.Is(cause, ErrGraceOver) && err != nil:
		f.giveBack(h.m.cfg.ID, h.execution)
		call = f.end(h, cause)
	case f.refused != nil:
		call = f.end(h, errors.Join(err, f.refused))
	default:
		h.ended = time.Now()
		h.report, h.err = completion(h, result, err)
		f.out.results = append(f.out.results, h)
		f.rouse()
	}
	f.mu.Unlock()
	each([]func(){call})
}

// completion is the report of an end, and the error that it reports. What would break the stream that others share is
// reported as a failure.
func completion(h *held, result []byte, err error) (*hivev1.CompleteRequest, error) {
	req := &hivev1.CompleteRequest{AgentId: h.m.cfg.ID, Execution: h.execution, Result: result}
	if err == nil && len(result) > payloadMost {
		err = fmt.Errorf("the result has %d bytes, at most %d are accepted", len(result), payloadMost)
	}
	if err != nil {
		var final finalError
		req.Result, req.Error, req.Final = nil, strings.ToValidUTF8(errorText(err), "?"), errors.As(err, &final)
	}
	return req, err
}

// end lets go of a task; what it answers is called without the lock.
func (f *Fleet) end(h *held, err error) (call func()) {
	if h.over {
		return nil
	}
	h.over = true
	h.m.let(h)
	f.forget(h.m)
	if h.m.cfg.Done == nil {
		return nil
	}
	return func() { h.m.cfg.Done(err) }
}

// lost stops what an agent does not hold any more. Where the report is on its way, its
// answer decides: it may have been accepted just before.
func (f *Fleet) lost(id string, list []*hivev1.Execution) {
	m := f.agents[id]
	if m == nil {
		return
	}
	for _, l := range list {
		h := m.held[l.GetTaskId()]
		if h != nil && h.execution.GetAttempt() == l.GetAttempt() && h.report == nil {
			h.lost = true
			h.cancel(ErrLost)
		}
	}
}

// settled takes the answer to all reports of a frame that have none of their own.
func (f *Fleet) settled(frame uint64) (calls []func()) {
	for _, h := range f.out.onWay[frame] {
		if h.frame == frame && !h.sent.IsZero() && !h.over {
			f.out.pause.reset()
			calls = append(calls, f.end(h, h.err))
		}
	}
	delete(f.out.onWay, frame)
	return calls
}

// reported takes the answer to a report.
func (f *Fleet) reported(r *hivev1.Reported) (call func()) {
	m := f.agents[r.GetAgentId()]
	if m == nil {
		return nil
	}
	h := m.held[r.GetExecution().GetTaskId()]
	for h != nil && h.execution.GetAttempt() != r.GetExecution().GetAttempt() {
		h = h.older
	}
	if h == nil || h.sent.IsZero() {
		return nil // answered before, or given up
	}
	switch {
	case mayPass(r.GetRefused()):
		h.sent = time.Time{}
		f.reportLater(h)
		return nil
	case r.GetRefused() != "":
		err := refusedAs(r.GetRefused(), r.GetReason())
		m.cfg.Log.Warn("result not reported", "task", h.execution.GetTaskId(), "error", err)
		return f.end(h, errors.Join(h.err, err))
	case !r.GetOutcome().GetAccepted():
		m.cfg.Log.Warn("result refused", "task", h.execution.GetTaskId(), "reason", r.GetOutcome().GetReason())
		return f.end(h, errors.Join(h.err, ErrLost))
	}
	delete(f.out.onWay, h.frame) // an older server answers each of the frame's
	f.out.pause.reset()
	return f.end(h, h.err)
}
