package schedule

import (
	"encoding/json"
	"fmt"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

// ScheduledRunInput is what a schedule passes on. It is written into the schedule
// with its calendars, so that both always say the same.
type ScheduledRunInput struct {
	Schedule runbook.SchedulePolicy `json:"schedule"`
	Notify   runbook.NotifyPolicy   `json:"notify"`
}

// Validate implements runbook.Validator.
func (in ScheduledRunInput) Validate() error {
	if in.Schedule.ID == "" || in.Schedule.Procedure == "" {
		return fmt.Errorf("schedule: names no id or no procedure; a run outside of its schedule is started as itself, with `hive run`")
	}
	if _, err := in.Schedule.Calendar(); err != nil {
		return fmt.Errorf("schedule.%w", err)
	}
	if in.Schedule.CatchUp <= 0 {
		return fmt.Errorf("schedule.catchUp: %s; expected how late the run may begin, such as \"1h\"", in.Schedule.CatchUp)
	}
	_, err := procedureInput(in.Schedule)
	return err
}

// How a ScheduledRun ended.
const (
	// Started: the procedure's run of the date has begun.
	Started = "started"
	// Missed: it was too late to begin.
	Missed = "missed"
	// Skipped: the date has had its run already.
	Skipped = "skipped"
)

// ScheduledRunResult is what became of one firing.
type ScheduledRunResult struct {
	Outcome string `json:"outcome"`
	// Date is the nominal date, empty for one that was triggered by hand.
	Date string `json:"date,omitempty"`
	// Workflow is the procedure's run.
	Workflow string `json:"workflow"`
	Why      string `json:"why,omitempty"`
}

// IDPrefix begins the workflow IDs of ScheduledRuns; Temporal appends the instant.
const IDPrefix = "scheduled:"

// ScheduledRun is what a schedule starts. It ends as soon as the procedure has begun,
// so that a long run never holds back the next date.
var ScheduledRun = runbook.Procedure[ScheduledRunInput, ScheduledRunResult]{
	Name:    "ScheduledRun",
	ID:      func(in ScheduledRunInput) string { return IDPrefix + in.Schedule.ID },
	Summary: "Starts a procedure for the nominal date of its schedule",
	Example: `{"schedule":{"id":"weekly-maintenance","procedure":"WeeklyMaintenance","every":"sunday","at":"02:00","timezone":"America/Los_Angeles","catchUp":"1h"}}`,
}

var scheduledStart = temporal.NewSearchAttributeKeyTime("TemporalScheduledStartTime")

// RunScheduledRun is ScheduledRun's body.
func RunScheduledRun(ctx workflow.Context, in ScheduledRunInput) (ScheduledRunResult, error) {
	at, scheduled := workflow.GetTypedSearchAttributes(ctx).GetTime(scheduledStart)
	if !scheduled {
		return ScheduledRunResult{}, runbook.Fail(runbook.Refused,
			"ScheduledRun is started by Temporal's schedules, which say for when; start %s itself: `hive run %s`", in.Schedule.Procedure, in.Schedule.Procedure)
	}
	out, err := Decide(in.Schedule, at, workflow.Now(ctx))
	if err != nil || out.Outcome == Missed {
		// workers/operations/schedules tells of missed dates: also of those for which
		// nothing could be started at all.
		return out, err
	}
	err = start(ctx, in.Schedule, out)
	if !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return out, err
	}
	if out.Date == "" {
		return out, runbook.Fail(runbook.Refused, "%s is at work already; watch it with `hive status %s`", out.Workflow, out.Workflow)
	}
	out.Outcome, out.Why = Skipped, "the date has had its run: "+out.Workflow
	return out, notify(ctx, in.Notify, in.Schedule, out.Date, Skipped, out.Why)
}

// Decide says what an instant at which the schedule fired asks for: a date's run,
// one that is too late, or, where the rule has no date for the instant, a run that
// somebody triggered by hand.
func Decide(s runbook.SchedulePolicy, at, now time.Time) (ScheduledRunResult, error) {
	calendar, err := s.Calendar()
	if err != nil {
		return ScheduledRunResult{}, runbook.FailCause(runbook.Refused, err, "schedule %s", s.ID)
	}
	due, nominal := calendar.Nominal(at)
	switch {
	case !nominal:
		return ScheduledRunResult{Outcome: Started, Workflow: s.ID, Why: "triggered by hand, for no date"}, nil
	case now.Sub(at) > s.CatchUp.D():
		return ScheduledRunResult{
			Outcome: Missed, Date: due.Date, Workflow: s.RunID(due.Date),
			Why: fmt.Sprintf("it could begin only %s after its time, and may at most %s after", now.Sub(at).Round(time.Second), s.CatchUp),
		}, nil
	default:
		return ScheduledRunResult{Outcome: Started, Date: due.Date, Workflow: s.RunID(due.Date)}, nil
	}
}

// start starts the procedure and waits until it has begun, not until it has ended.
func start(ctx workflow.Context, s runbook.SchedulePolicy, run ScheduledRunResult) error {
	input, err := procedureInput(s)
	if err != nil {
		return err
	}
	reuse := enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	summary := "run of " + run.Date + ", " + s.When()
	if run.Date == "" {
		reuse = enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
		summary = "triggered by hand from schedule " + s.ID
	}
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: run.Workflow, TaskQueue: runbook.TaskQueue,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
		WorkflowIDReusePolicy: reuse,
		StaticSummary:         summary,
	}), s.Procedure, input)
	return child.GetChildWorkflowExecution().Get(ctx, nil)
}

// procedureInput is the schedule's input with what every run carries.
func procedureInput(s runbook.SchedulePolicy) (json.RawMessage, error) {
	fields := map[string]any{}
	if s.Input != "" {
		if err := json.Unmarshal([]byte(s.Input), &fields); err != nil {
			return nil, runbook.FailCause(runbook.Refused, err, "schedule %s: input is not a JSON object", s.ID)
		}
	}
	fields["trigger"] = "schedule"
	fields["requestedBy"] = "schedule " + s.ID
	return json.Marshal(fields)
}
