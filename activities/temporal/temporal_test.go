package temporal

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	common "go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/leanvibe/hive/workflows/runbook"
)

// run is one run that the fake server knows.
type run struct {
	id, run        string
	parent, itsRun string
	closed         chan struct{}
	began          time.Time
}

func open(id, runID, parent, itsRun string) *run {
	return &run{id: id, run: runID, parent: parent, itsRun: itsRun, closed: make(chan struct{}), began: time.Now()}
}

func (r *run) close() *run { close(r.closed); return r }

func (r *run) open() bool {
	select {
	case <-r.closed:
		return false
	default:
		return true
	}
}

// server is the few calls of Temporal that the hand makes, over runs in memory;
// the latest run of an ID stands last. It has no parent-close policy: a lock closes
// when the test closes it, or when the hand terminates it.
type server struct {
	runs       []*run
	err        error
	away       atomic.Bool
	described  int
	terminated []string
	mute       bool          // long polls end at once with nothing
	early      time.Duration // long polls end that much before their context
}

func (s *server) find(id, runID string) (*run, error) {
	var found *run
	for _, r := range s.runs {
		if r.id == id && (runID == "" || r.run == runID) {
			found = r
		}
	}
	if found == nil {
		return nil, serviceerror.NewNotFound("workflow not found for ID: " + id)
	}
	return found, nil
}

func (s *server) DescribeWorkflowExecution(_ context.Context, id, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	s.described++
	if s.err != nil {
		return nil, s.err
	}
	if s.away.Load() {
		return nil, serviceerror.NewUnavailable("connection refused")
	}
	r, err := s.find(id, runID)
	if err != nil {
		return nil, err
	}
	info := &workflow.WorkflowExecutionInfo{
		Execution: &common.WorkflowExecution{WorkflowId: r.id, RunId: r.run},
		Status:    enums.WORKFLOW_EXECUTION_STATUS_COMPLETED,
		StartTime: timestamppb.New(r.began),
	}
	if r.open() {
		info.Status = enums.WORKFLOW_EXECUTION_STATUS_RUNNING
	}
	if r.parent != "" {
		info.ParentExecution = &common.WorkflowExecution{WorkflowId: r.parent, RunId: r.itsRun}
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: info}, nil
}

func (s *server) GetWorkflowHistory(ctx context.Context, id, runID string, long bool, _ enums.HistoryEventFilterType) client.HistoryEventIterator {
	r, err := s.find(id, runID)
	return &poll{ctx: ctx, run: r, err: err, mute: s.mute || !long, early: s.early}
}

func (s *server) TerminateWorkflow(_ context.Context, id, runID, reason string, _ ...any) error {
	r, err := s.find(id, runID)
	if err != nil {
		return err
	}
	if !r.open() {
		return serviceerror.NewNotFound("workflow execution already completed")
	}
	r.close()
	s.terminated = append(s.terminated, id+" "+runID+": "+reason)
	return nil
}

type poll struct {
	ctx  context.Context
	run  *run
	err  error
	mute bool

	early time.Duration
}

func (p *poll) HasNext() bool { return !p.mute }

func (p *poll) Next() (*history.HistoryEvent, error) {
	if p.err != nil {
		return nil, p.err
	}
	deadline, _ := p.ctx.Deadline()
	select {
	case <-p.run.closed:
		return &history.HistoryEvent{}, nil
	case <-p.ctx.Done():
		return nil, serviceerror.NewCanceled("context canceled")
	case <-time.After(time.Until(deadline) - p.early):
		return nil, serviceerror.NewDeadlineExceeded("context deadline exceeded")
	}
}

const lockID = "lock:service:hub"

func input(bound time.Duration) runbook.AwaitLockInput {
	return runbook.AwaitLockInput{Lock: lockID, Self: "weekly-maintenance", Until: time.Now().Add(bound)}
}

func TestAFreeLockIsAnsweredAtOnce(t *testing.T) {
	for name, runs := range map[string][]*run{
		"never held": nil,
		"held once":  {open(lockID, "l1", "rolling-restart", "r1").close()},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Hand{&server{runs: runs}}.Await(t.Context(), input(time.Hour))
			require.NoError(t, err)
			require.True(t, got.Free)
			require.False(t, got.Broken)
		})
	}
}

func TestTheWaiterHearsOfTheCloseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lock := open(lockID, "l1", "rolling-restart", "r1")
		s := &server{runs: []*run{open("rolling-restart", "r1", "", ""), lock}}
		start := time.Now()
		time.AfterFunc(95*time.Second, func() { lock.close() })
		got, err := Hand{s}.Await(t.Context(), input(time.Hour))
		require.NoError(t, err)
		require.Equal(t, 95*time.Second, time.Since(start))
		require.Equal(t, runbook.Holder{WorkflowID: "rolling-restart", RunID: "r1", Since: start.UTC(), Free: true}, got)
		require.Empty(t, s.terminated)
		require.LessOrEqual(t, s.described, 10, "a long poll waits, it does not ask and ask")
	})
}

func TestNotFreeAtTheBoundNamesTheHolder(t *testing.T) {
	for name, s := range map[string]*server{"": {}, "polls end early": {early: time.Millisecond}, "a server that does not wait": {mute: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s.runs = []*run{open("rolling-restart", "r1", "", ""), open(lockID, "l1", "rolling-restart", "r1")}
				start := time.Now()
				got, err := Hand{s}.Await(t.Context(), input(10*time.Minute))
				require.NoError(t, err)
				require.Equal(t, 10*time.Minute, time.Since(start))
				require.False(t, got.Free)
				require.Equal(t, "rolling-restart", got.WorkflowID)
				require.Equal(t, "r1", got.RunID)
				require.Empty(t, s.terminated)
				require.Less(t, s.described, 100)
			})
		})
	}
}

func TestABoundInThePastIsOneLook(t *testing.T) {
	s := &server{runs: []*run{open("rolling-restart", "r1", "", ""), open(lockID, "l1", "rolling-restart", "r1")}}
	got, err := Hand{s}.Await(t.Context(), input(-time.Second))
	require.NoError(t, err)
	require.False(t, got.Free)
	require.Equal(t, "rolling-restart", got.WorkflowID)
}

func TestALockThatNoRunStartedIsNamedItself(t *testing.T) {
	s := &server{runs: []*run{open(lockID, "l1", "", "")}}
	got, err := Hand{s}.Await(t.Context(), input(-time.Second))
	require.NoError(t, err)
	require.False(t, got.Free)
	require.Equal(t, lockID, got.WorkflowID)
	require.Equal(t, "l1", got.RunID)
}

func TestALockIsBrokenOnlyWhenNobodyHoldsIt(t *testing.T) {
	for _, c := range []struct {
		name   string
		runs   func() []*run
		broken string // what the termination must say; "" where there must be none
	}{
		{"the holder is closed", func() []*run {
			return []*run{open("rolling-restart", "r1", "", "").close(), open(lockID, "l2", "rolling-restart", "r1")}
		}, "lock:service:hub l2: broken by weekly-maintenance: the holder rolling-restart (run r1) is closed and has left the lock behind"},
		{"the holder's retention has passed", func() []*run {
			return []*run{open(lockID, "l2", "rolling-restart", "r1")}
		}, "lock:service:hub l2: broken by weekly-maintenance: the holder rolling-restart (run r1) is closed and has left the lock behind"},
		{"an earlier run of the waiter's own", func() []*run {
			return []*run{open("weekly-maintenance", "w1", "", "").close(), open("weekly-maintenance", "w2", "", ""), open(lockID, "l2", "weekly-maintenance", "w1")}
		}, "lock:service:hub l2: broken by weekly-maintenance: the holder weekly-maintenance (run w1) is closed and has left the lock behind"},
		{"the holder lives", func() []*run {
			return []*run{open("rolling-restart", "r1", "", ""), open(lockID, "l2", "rolling-restart", "r1")}
		}, ""},
		{"a reset of the holder goes on", func() []*run {
			return []*run{open("rolling-restart", "r1", "", "").close(), open("rolling-restart", "r2", "", ""), open(lockID, "l2", "rolling-restart", "r1")}
		}, ""},
		{"a lock without a parent", func() []*run { return []*run{open(lockID, "l2", "", "")} }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// The real client ends a poll a moment before its context (seen).
				s := &server{runs: c.runs(), early: time.Millisecond}
				start := time.Now()
				got, err := Hand{s}.Await(t.Context(), input(5*time.Minute))
				require.NoError(t, err)
				require.Equal(t, c.broken != "", got.Free)
				require.Equal(t, c.broken != "", got.Broken)
				if c.broken == "" {
					require.Empty(t, s.terminated)
					return
				}
				require.Equal(t, []string{c.broken}, s.terminated)
				require.Equal(t, policyGrace, time.Since(start), "the server is given its time first")
			})
		})
	}
}

func TestAHolderThatDiesDuringTheWaitIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dying := open("rolling-restart", "r1", "", "")
		s := &server{runs: []*run{dying, open(lockID, "l1", "rolling-restart", "r1")}}
		start := time.Now()
		time.AfterFunc(40*time.Second, func() { dying.close() })
		got, err := Hand{s}.Await(t.Context(), input(time.Hour))
		require.NoError(t, err)
		require.True(t, got.Broken)
		require.LessOrEqual(t, time.Since(start), 40*time.Second+lookEvery+policyGrace)
	})
}

func TestTheServersOwnPolicyIsNotForestalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lock := open(lockID, "l1", "rolling-restart", "r1")
		s := &server{runs: []*run{open("rolling-restart", "r1", "", "").close(), lock}}
		time.AfterFunc(58*time.Millisecond, func() { lock.close() })
		got, err := Hand{s}.Await(t.Context(), input(time.Hour))
		require.NoError(t, err)
		require.True(t, got.Free)
		require.False(t, got.Broken)
		require.Empty(t, s.terminated)
	})
}

func TestCancelEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{runs: []*run{open("rolling-restart", "r1", "", ""), open(lockID, "l1", "rolling-restart", "r1")}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(7*time.Second, cancel)
		start := time.Now()
		_, err := Hand{s}.Await(ctx, input(time.Hour))
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 7*time.Second, time.Since(start))
	})
}

func TestATemporalThatGoesAwayDuringTheWaitFreesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{runs: []*run{open("rolling-restart", "r1", "", ""), open(lockID, "l1", "rolling-restart", "r1")}}
		time.AfterFunc(40*time.Second, func() { s.away.Store(true) })
		got, err := Hand{s}.Await(t.Context(), input(time.Hour))
		require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
		require.False(t, got.Free)
	})
}

func TestRefusals(t *testing.T) {
	for _, id := range []string{"", "lock:", "weekly-maintenance"} {
		s := &server{runs: []*run{open(id, "l1", "rolling-restart", "r1")}}
		_, err := Hand{s}.Await(t.Context(), runbook.AwaitLockInput{Lock: id, Self: "x"})
		require.Equal(t, runbook.Refused, runbook.KindOf(err), "%q: a workflow that is no lock must never be terminated", id)
		require.Empty(t, s.terminated)
	}
	s := &server{runs: []*run{open("weekly-maintenance", "w1", "", ""), open(lockID, "l1", "weekly-maintenance", "w1")}}
	_, err := Hand{s}.Await(t.Context(), input(time.Hour))
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	require.ErrorContains(t, err, "held by weekly-maintenance itself")
}

func TestKinds(t *testing.T) {
	for want, errs := range map[runbook.Kind][]error{
		runbook.Unreachable: {serviceerror.NewUnavailable("connection refused"), serviceerror.NewDeadlineExceeded("late"), errors.New("broken pipe")},
		runbook.Refused:     {serviceerror.NewPermissionDenied("no", ""), serviceerror.NewInvalidArgument("bad")},
		runbook.Missing:     {serviceerror.NewNamespaceNotFound("ops")},
		runbook.Busy:        {serviceerror.NewResourceExhausted(enums.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, "slow down")},
	} {
		for _, e := range errs {
			_, err := Hand{&server{err: e}}.Await(t.Context(), input(time.Hour))
			require.Equal(t, want, runbook.KindOf(err), "%v", e)
			require.ErrorContains(t, err, lockID)
		}
	}
}
