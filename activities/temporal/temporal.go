// Package temporal is the hand on Temporal itself: who holds a lock, and whether
// that holder still lives. A lock is a child workflow of the run that holds it
// (see workflows/flow), so the server knows both.
package temporal

import (
	"context"
	"strings"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Client is what the hand asks of Temporal's client.
type Client interface {
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
	GetWorkflowHistory(ctx context.Context, workflowID, runID string, isLongPoll bool, filter enums.HistoryEventFilterType) client.HistoryEventIterator
	TerminateWorkflow(ctx context.Context, workflowID, runID, reason string, details ...any) error
}

// Hand asks one namespace.
type Hand struct {
	Client Client
}

// prefix is what the workflow ID of a lock begins with.
const prefix = "lock:"

// beatEvery is well below the step's heartbeat timeout of 10 s.
const beatEvery = 2 * time.Second

// pollPause lies between two long polls.
const pollPause = 250 * time.Millisecond

// execution is what Temporal says of one run.
type execution struct {
	run            string
	open           bool
	since          time.Time
	parent, itsRun string
}

// execution describes a run; an empty run ID means the latest. Not found is an
// answer: it never was, or its retention has passed.
func (h Hand) execution(ctx context.Context, id, run string) (e execution, found bool, err error) {
	res, err := h.Client.DescribeWorkflowExecution(ctx, id, run)
	if missing(err) {
		return e, false, nil
	}
	if err != nil {
		return e, false, classify(ctx, err, id)
	}
	info := res.GetWorkflowExecutionInfo()
	return execution{
		run:    info.GetExecution().GetRunId(),
		open:   info.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING || info.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_PAUSED,
		since:  info.GetStartTime().AsTime(),
		parent: info.GetParentExecution().GetWorkflowId(),
		itsRun: info.GetParentExecution().GetRunId(),
	}, true, nil
}

// closes waits for the close of a run, at most that long, by long polls: it hears
// of it at once and asks no more often than the server lets a poll last.
func (h Hand) closes(ctx context.Context, id, run string, within time.Duration) (bool, error) {
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		closed, err := h.poll(bounded, id, run)
		switch {
		case closed:
			return true, nil
		case err != nil && !late(err):
			return false, classify(ctx, err, id)
		}
		// A server that did not wait must not be asked without end.
		pause := time.NewTimer(pollPause)
		select {
		case <-bounded.Done():
			pause.Stop()
			return false, ctx.Err()
		case <-pause.C:
		}
	}
}

// poll asks once for the last event of a run, which exists when it has closed.
func (h Hand) poll(ctx context.Context, id, run string) (closed bool, err error) {
	events := h.Client.GetWorkflowHistory(ctx, id, run, true, enums.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
	if !events.HasNext() {
		return false, nil
	}
	_, err = events.Next()
	if missing(err) {
		return true, nil
	}
	return err == nil, err
}

// beating heartbeats until the returned call.
func beating(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if activity.IsActivity(ctx) {
					activity.RecordHeartbeat(ctx)
				}
			}
		}
	}()
	return func() { cancel(); <-ended }
}

func isLock(id string) bool { return strings.HasPrefix(id, prefix) && len(id) > len(prefix) }

// holder is the run that started the lock; a lock that no run started is named
// itself, so that whoever reads it knows what to end.
func holder(id string, e execution) runbook.Holder {
	if e.parent == "" && e.open {
		return runbook.Holder{WorkflowID: id, RunID: e.run, Since: e.since}
	}
	return runbook.Holder{WorkflowID: e.parent, RunID: e.itsRun, Since: e.since}
}
