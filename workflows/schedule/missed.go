package schedule

import (
	"fmt"
	"net/url"

	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

// MissedRunInput names a date that had no run, or one that nobody heard of.
type MissedRunInput struct {
	Schedule runbook.SchedulePolicy `json:"schedule"`
	Notify   runbook.NotifyPolicy   `json:"notify"`
	Date     string                 `json:"date"`
	// Outcome is missed or skipped.
	Outcome string `json:"outcome"`
	// Why says what was seen of it.
	Why string `json:"why"`
}

// Validate implements runbook.Validator.
func (in MissedRunInput) Validate() error {
	if in.Schedule.ID == "" || in.Date == "" {
		return fmt.Errorf("schedule or date: missing; opsworker starts this run when a date had none")
	}
	if in.Outcome != Missed && in.Outcome != Skipped {
		return fmt.Errorf("outcome: %q; expected missed or skipped", in.Outcome)
	}
	return nil
}

// MissedID is the workflow ID of the MissedRun of a date: a second one is rejected,
// so people are told once.
func MissedID(s runbook.SchedulePolicy, date string) string { return "missed:" + s.RunID(date) }

// MissedRun tells people that a nominal date had no run. It is a workflow so that the
// telling outlives whoever noticed, and can be seen.
var MissedRun = runbook.Procedure[MissedRunInput, runbook.NoticeOutput]{
	Name:    "MissedRun",
	ID:      func(in MissedRunInput) string { return MissedID(in.Schedule, in.Date) },
	Summary: "Tells of a scheduled run that did not take place",
	Example: `{"schedule":{"id":"weekly-maintenance","procedure":"WeeklyMaintenance"},"date":"2026-11-29","outcome":"missed","why":"opsworker was away"}`,
}

// RunMissedRun is MissedRun's body.
func RunMissedRun(ctx workflow.Context, in MissedRunInput) (runbook.NoticeOutput, error) {
	return runbook.SendNotice.Run(ctx, notice(ctx, in))
}

func notify(ctx workflow.Context, to runbook.NotifyPolicy, s runbook.SchedulePolicy, date, outcome, why string) error {
	_, err := runbook.SendNotice.Run(ctx, notice(ctx, MissedRunInput{Schedule: s, Notify: to, Date: date, Outcome: outcome, Why: why}))
	return err
}

// notice has one key a date, whoever sends it.
func notice(ctx workflow.Context, in MissedRunInput) runbook.NoticeInput {
	return runbook.NoticeInput{
		Notify: in.Notify, Key: "schedule/" + in.Schedule.RunID(in.Date),
		Title: fmt.Sprintf("%s of %s %s", in.Schedule.Procedure, in.Date, in.Outcome),
		Body: fmt.Sprintf("Schedule %s (%s): %s. It is not made up for; `hive schedules run %s` does it now.",
			in.Schedule.ID, in.Schedule.When(), in.Why, in.Schedule.ID),
		Link: link(ctx),
	}
}

// link is where this run is seen, relative to wherever the Temporal UI is served.
func link(ctx workflow.Context) string {
	info := workflow.GetInfo(ctx)
	return "/namespaces/" + info.Namespace + "/workflows/" + url.PathEscape(info.WorkflowExecution.ID) + "/" + info.WorkflowExecution.RunID
}
