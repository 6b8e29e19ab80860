package schedules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	common "go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	sdk "go.temporal.io/sdk/temporal"

	"github.com/leanvibe/hive/activities/temporal"
	"github.com/leanvibe/hive/workers/operations/follow"
	"github.com/leanvibe/hive/workflows/runbook"
	"github.com/leanvibe/hive/workflows/schedule"
)

// entry is a schedule as Temporal has it.
type entry struct {
	id string
	// ours says whether it bears our mark; of another's nothing else is read.
	ours bool
	shape
	// instants are what its calendars hold; plain is false where it holds more.
	instants []time.Time
	plain    bool
	paused   bool
	note     string
	// since is when it was made, or last changed.
	made, since time.Time
}

// shape is all that a schedule of ours says besides its instants.
type shape struct {
	in             schedule.ScheduledRunInput
	workflow       string
	action         string
	queue          string
	timeout        time.Duration
	catchUp        time.Duration
	overlap        enums.ScheduleOverlapPolicy
	pauseOnFailure bool
}

// tellTime is what a firing has beyond the catch-up window, to say what became of it.
const tellTime = 10 * time.Minute

// shapeOf is what the policy's schedule should say.
func shapeOf(in schedule.ScheduledRunInput) shape {
	return shape{
		in: in, workflow: schedule.ScheduledRun.Name, action: schedule.ScheduledRun.ID(in), queue: runbook.TaskQueue,
		// A firing that no worker takes ends with its window, and holds nothing back.
		timeout: in.Schedule.CatchUp.D() + tellTime, catchUp: in.Schedule.CatchUp.D(),
		overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP,
		// A refused or failed run says nothing about the next date.
		pauseOnFailure: false,
	}
}

// run is a procedure's run of a nominal date.
type run struct {
	open bool
	// outcome is what the run itself said; empty where it came to no report.
	outcome runbook.Outcome
	status  string
}

// server is what this package asks of Temporal.
type server interface {
	// list names the schedules of ours; it may lag behind by some seconds.
	list(ctx context.Context) ([]string, error)
	find(ctx context.Context, id string) (entry, bool, error)
	create(ctx context.Context, want shape, instants []time.Time) error
	update(ctx context.Context, want shape, instants []time.Time) error
	remove(ctx context.Context, id string) error
	run(ctx context.Context, workflowID string) (run, bool, error)
	reason(ctx context.Context, workflowID string) string
	miss(ctx context.Context, in schedule.MissedRunInput) error
}

// mark is the memo that tells our schedules from others'.
const mark, madeBy = "hive", "made from runbook.yaml by hive; a change made here lasts until it is reconciled"

type temporalServer struct{ client client.Client }

func (t temporalServer) list(ctx context.Context) ([]string, error) {
	all, err := t.client.ScheduleClient().List(ctx, client.ScheduleListOptions{PageSize: 100})
	if err != nil {
		return nil, away(err)
	}
	var ids []string
	for all.HasNext() {
		one, err := all.Next()
		if err != nil {
			return nil, away(err)
		}
		if marked(one.Memo) {
			ids = append(ids, one.ID)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

func marked(memo *common.Memo) bool {
	_, ok := memo.GetFields()[mark]
	return ok
}

func (t temporalServer) find(ctx context.Context, id string) (entry, bool, error) {
	d, err := t.client.ScheduleClient().GetHandle(ctx, id).Describe(ctx)
	if missing(err) {
		return entry{}, false, nil
	}
	if err != nil {
		return entry{}, false, away(err)
	}
	e := entry{id: id, ours: marked(d.Memo), made: d.Info.CreatedAt, since: d.Info.CreatedAt}
	if !e.ours {
		return e, true, nil
	}
	if d.Info.LastUpdateAt.After(e.since) {
		e.since = d.Info.LastUpdateAt
	}
	e.paused, e.note = d.Schedule.State.Paused, d.Schedule.State.Note
	e.instants, e.plain = temporal.Instants(*d.Schedule.Spec)
	if p := d.Schedule.Policy; p != nil {
		e.catchUp, e.overlap, e.pauseOnFailure = p.CatchupWindow, p.Overlap, p.PauseOnFailure
	}
	if a, ok := d.Schedule.Action.(*client.ScheduleWorkflowAction); ok {
		e.workflow, _ = a.Workflow.(string)
		e.action, e.queue, e.timeout = a.ID, a.TaskQueue, a.WorkflowExecutionTimeout
		if len(a.Args) == 1 {
			if raw, ok := a.Args[0].(*common.Payload); ok && converter.GetDefaultDataConverter().FromPayload(raw, &e.in) != nil {
				e.in = schedule.ScheduledRunInput{} // somebody wrote it anew; it is no input of ours, and is put back
			}
		}
	}
	return e, true, nil
}

func (s shape) spec(instants []time.Time) *client.ScheduleSpec {
	return &client.ScheduleSpec{Calendars: temporal.Calendars(instants, s.in.Schedule.When()), TimeZoneName: "UTC"}
}

func (s shape) start() *client.ScheduleWorkflowAction {
	return &client.ScheduleWorkflowAction{
		ID: s.action, Workflow: s.workflow, Args: []any{s.in}, TaskQueue: s.queue, WorkflowExecutionTimeout: s.timeout,
		StaticSummary: fmt.Sprintf("starts %s, %s", s.in.Schedule.Procedure, s.in.Schedule.When()),
	}
}

func (t temporalServer) create(ctx context.Context, want shape, instants []time.Time) error {
	_, err := t.client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: want.in.Schedule.ID, Spec: *want.spec(instants), Action: want.start(),
		Overlap: want.overlap, CatchupWindow: want.catchUp, PauseOnFailure: want.pauseOnFailure,
		Memo: map[string]any{mark: madeBy},
	})
	return away(err)
}

// update changes what is ours to say; whether it is paused, and why, is the operator's.
func (t temporalServer) update(ctx context.Context, want shape, instants []time.Time) error {
	return away(t.client.ScheduleClient().GetHandle(ctx, want.in.Schedule.ID).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(now client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			s := now.Description.Schedule
			s.Spec, s.Action = want.spec(instants), want.start()
			s.Policy = &client.SchedulePolicies{Overlap: want.overlap, CatchupWindow: want.catchUp, PauseOnFailure: want.pauseOnFailure}
			return &client.ScheduleUpdate{Schedule: &s}, nil
		},
	}))
}

func (t temporalServer) remove(ctx context.Context, id string) error {
	err := t.client.ScheduleClient().GetHandle(ctx, id).Delete(ctx)
	if missing(err) {
		return nil
	}
	return away(err)
}

// opsOutcome is the search attribute that every procedure sets at its end.
const opsOutcome = "OpsOutcome"

func (t temporalServer) run(ctx context.Context, workflowID string) (run, bool, error) {
	d, err := t.client.DescribeWorkflowExecution(ctx, workflowID, "")
	if missing(err) {
		return run{}, false, nil
	}
	if err != nil {
		return run{}, false, away(err)
	}
	info := d.GetWorkflowExecutionInfo()
	r := run{status: info.GetStatus().String()}
	r.open = info.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING || info.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_PAUSED
	if raw := info.GetSearchAttributes().GetIndexedFields()[opsOutcome]; raw != nil {
		if err := converter.GetDefaultDataConverter().FromPayload(raw, &r.outcome); err != nil {
			return r, true, fmt.Errorf("outcome of %s: %w", workflowID, err)
		}
	}
	return r, true, nil
}

func (t temporalServer) reason(ctx context.Context, workflowID string) string {
	report, err := follow.Await(ctx, t.client.GetWorkflow(ctx, workflowID, ""))
	if err != nil {
		return err.Error()
	}
	return report.Reason
}

func (t temporalServer) miss(ctx context.Context, in schedule.MissedRunInput) error {
	_, err := t.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: schedule.MissedRun.ID(in), TaskQueue: runbook.TaskQueue,
		WorkflowIDReusePolicy:                    enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            in.Schedule.Procedure + " of " + in.Date + " " + in.Outcome,
	}, schedule.MissedRun.Name, in)
	if sdk.IsWorkflowExecutionAlreadyStartedError(err) {
		return nil
	}
	return away(err)
}

func missing(err error) bool {
	var notFound *serviceerror.NotFound
	return errors.As(err, &notFound)
}

// away gives an error of Temporal a kind, so that whoever prints it knows the way out.
func away(err error) error {
	var unavailable *serviceerror.Unavailable
	var late *serviceerror.DeadlineExceeded
	if errors.As(err, &unavailable) || errors.As(err, &late) || errors.Is(err, context.DeadlineExceeded) {
		return runbook.FailCause(runbook.Unreachable, err, "Temporal does not answer")
	}
	return err
}

// rule is the part of a schedule that decides its dates.
func rule(p runbook.SchedulePolicy) [3]string { return [3]string{p.Every, p.At, p.Timezone} }

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
