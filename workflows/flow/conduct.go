package flow

import (
	"errors"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

// ErrPlanned ends the body of a run that was asked for its plan alone; nothing has
// been changed then.
var ErrPlanned = errors.New("planned")

// Frame is what Conduct needs to know of a procedure.
type Frame struct {
	// Name is the workflow type.
	Name string
	// Options came with the input.
	Options runbook.Options
	// Files are what the run leaves under out/; nil for none. A child leaves none:
	// its steps stand in its parent's report.
	Files func(runbook.Report) ([]runbook.ArtefactInput, error)
}

// Conduct runs the body of a procedure: it reads the policy first, shows progress
// while the body works, undoes what the body registered when it fails, and turns
// the end into an outcome, a report and, where it went wrong, a notice.
//
// Failed and reverted runs close as Failed with the report in the error's details,
// aborted ones as Canceled, the others as Completed.
func Conduct(ctx workflow.Context, f Frame, body func(workflow.Context, *Run) error) (runbook.Report, error) {
	r := begin(ctx, f)
	work, stop := workflow.WithCancel(ctx)
	defer stop()
	r.stop = stop
	err := r.load(work)
	if err == nil {
		err = body(work, r)
	}
	return r.finish(ctx, err)
}

// finish undoes if it must, releases what is held, and reports.
func (r *Run) finish(ctx workflow.Context, err error) (runbook.Report, error) {
	after, _ := workflow.NewDisconnectedContext(ctx)
	r.outcome(ctx, after, err)
	r.stopProbe(after)
	r.endSilences(after)
	r.release(after)
	r.report.Finished = workflow.Now(ctx)
	r.phase(after, string(r.report.Outcome))
	if !r.child() {
		r.seal(after)
		r.leave(after)
		r.tell(after)
	}
	return r.close(ctx)
}

// outcome decides how the run ended, after undoing what has to be undone.
func (r *Run) outcome(ctx, after workflow.Context, err error) {
	switch {
	case err == nil && r.lost == "":
		r.report.Outcome = runbook.Succeeded
		return
	case errors.Is(err, ErrPlanned):
		r.report.Outcome = runbook.Planned
		return
	}
	aborted := ctx.Err() != nil
	r.report.Reason = reason(err)
	if aborted {
		r.report.Reason = "stopped on request"
	}
	if r.lost != "" {
		r.report.Reason = "the lock " + r.lost + " ended while the run went on, so it stopped"
	}
	var child *Ended
	if !r.begun && errors.As(err, &child) {
		r.report.Outcome = child.Outcome
		return
	}
	if !r.begun {
		r.report.Outcome = runbook.Failed
		if aborted {
			r.report.Outcome = runbook.Aborted
		} else if final(err) {
			r.report.Outcome = runbook.RefusedRun
		}
		return
	}
	undone := r.Undo.Len() > 0
	if left := r.Undo.revert(after, r); left != "" {
		r.report.Outcome = runbook.Failed
		r.report.Reason += "; not wholly undone: " + left
		return
	}
	switch {
	case aborted:
		r.report.Outcome = runbook.Aborted
	case undone:
		r.report.Outcome = runbook.Reverted
	default:
		r.report.Outcome = runbook.Failed
	}
}

// final says whether the failure is a refusal: nothing that waiting would mend.
func final(err error) bool {
	switch runbook.KindOf(err) {
	case runbook.Refused, runbook.Missing, runbook.Unsafe:
		return true
	case runbook.Corrupt, runbook.Busy, runbook.Unreachable, runbook.NotYet:
		return false
	default:
		return false
	}
}

// reason is an operator's sentence for whatever ended the run: the hand's own words
// where a hand spoke, else what Temporal says without its wrapping.
func reason(err error) string {
	var timeout *temporal.TimeoutError
	var app *temporal.ApplicationError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &app):
		return app.Message()
	case errors.As(err, &timeout):
		var activity *temporal.ActivityError
		if errors.As(err, &activity) {
			return activity.ActivityType().GetName() + " did not end in time (" + timeout.TimeoutType().String() + ")"
		}
		return timeout.Error()
	default:
		return err.Error()
	}
}

// seal keeps where the ledger stands in the run's result, outside of the ledger.
func (r *Run) seal(ctx workflow.Context) {
	head, err := runbook.ReadLedgerHead.Run(ctx, runbook.LedgerInput{})
	if err != nil {
		r.Find(runbook.Warning, "ledger", "its head could not be read: "+reason(err))
		return
	}
	r.report.Ledger = &head
}

// leave writes the run's files. One that cannot be written is a finding: the run
// itself is over, and its report stands in the workflow's result.
func (r *Run) leave(ctx workflow.Context) {
	if r.frame.Files == nil || r.report.Outcome == runbook.Planned || r.report.Outcome == runbook.RefusedRun {
		return
	}
	files, err := r.frame.Files(r.report)
	for _, file := range files {
		if err == nil {
			_, err = runbook.WriteArtefact.Run(ctx, file)
		}
	}
	if err != nil {
		r.Find(runbook.Warning, "report", "could not be written to out/: "+reason(err))
	}
}

// tell sends a notice of a run that went wrong.
func (r *Run) tell(ctx workflow.Context) {
	if r.report.Outcome != runbook.Failed && r.report.Outcome != runbook.Reverted {
		return
	}
	_, err := runbook.SendNotice.Run(ctx, runbook.NoticeInput{
		Notify: r.Policy.Notify, Key: r.report.Run + "/" + string(r.report.Outcome),
		Title: r.frame.Name + " " + string(r.report.Outcome), Body: r.report.Reason, Link: r.link(ctx),
	})
	if err != nil {
		r.Find(runbook.Warning, "notice", "nobody could be told: "+reason(err))
	}
}

func (r *Run) close(ctx workflow.Context) (runbook.Report, error) {
	switch r.report.Outcome {
	case runbook.Aborted:
		return r.report, temporal.NewCanceledError(r.report)
	case runbook.Failed, runbook.Reverted:
		return r.report, temporal.NewApplicationErrorWithOptions(r.report.Reason, string(r.report.Outcome),
			temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{r.report}})
	case runbook.Succeeded, runbook.RefusedRun, runbook.Planned:
		return r.report, nil
	default:
		workflow.GetLogger(ctx).Error("a run ended without an outcome", "outcome", r.report.Outcome)
		return r.report, temporal.NewNonRetryableApplicationError("the run ended without an outcome", string(runbook.Failed), nil, r.report)
	}
}
