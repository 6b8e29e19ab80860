package flow

import (
	"errors"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Ended is a child procedure that ended otherwise than well.
type Ended struct {
	Procedure string
	Outcome   runbook.Outcome
	Reason    string
}

// Error implements error.
func (e *Ended) Error() string {
	return e.Procedure + " ended " + string(e.Outcome) + ": " + e.Reason
}

// Child runs another procedure as a part of this one, under the locks that this
// one holds, and takes its report in. One that did not succeed is an *Ended.
func Child[In runbook.Validator](ctx workflow.Context, r *Run, p runbook.Procedure[In, runbook.Report], in In) (runbook.Report, error) {
	if err := r.Safe(ctx); err != nil {
		return runbook.Report{}, err
	}
	r.phase(ctx, p.Name)
	r.children = append(r.children, p.ChildID(workflow.GetInfo(ctx).WorkflowExecution.ID, in))
	report, err := p.Run(ctx, in)
	r.children = r.children[:len(r.children)-1]
	if err != nil {
		carried, found := carriedReport(err)
		if !found {
			return report, err
		}
		report = carried
	}
	r.Absorb(report)
	r.show(ctx)
	switch report.Outcome {
	case runbook.Succeeded, runbook.Planned:
		return report, nil
	case runbook.Failed, runbook.Reverted, runbook.RefusedRun, runbook.Aborted:
		return report, &Ended{p.Name, report.Outcome, report.Reason}
	default:
		return report, &Ended{p.Name, runbook.Failed, "it left no outcome"}
	}
}

// carriedReport reads the report that a failed or cancelled run carries as its
// error's details.
func carriedReport(err error) (runbook.Report, bool) {
	var report runbook.Report
	var app *temporal.ApplicationError
	var stopped *temporal.CanceledError
	switch {
	case errors.As(err, &app) && app.HasDetails():
		err = app.Details(&report)
	case errors.As(err, &stopped) && stopped.HasDetails():
		err = stopped.Details(&report)
	}
	return report, err == nil && report.Procedure != ""
}
