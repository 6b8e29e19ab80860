// Package follow learns how a run goes and how it ended, for whoever started it: the CLI and the drivers of tests.
package follow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Await returns the run's report, however it ended. An error means that the end itself could not be learned.
func Await(ctx context.Context, run client.WorkflowRun) (runbook.Report, error) {
	var raw json.RawMessage
	err := run.Get(ctx, &raw)
	if err == nil {
		return readReport(raw), nil
	}
	var execution *temporal.WorkflowExecutionError
	if !errors.As(err, &execution) {
		return runbook.Report{}, err
	}
	return reportOfFailure(run.GetID(), err), nil
}

// readReport takes the report out of a result. Procedures return it either as their result or as its field "report"
// beside findings of their own.
func readReport(raw json.RawMessage) runbook.Report {
	var report runbook.Report
	var wrapped struct {
		Report *runbook.Report `json:"report"`
	}
	if json.Unmarshal(raw, &wrapped) == nil && wrapped.Report != nil {
		return *wrapped.Report
	}
	if json.Unmarshal(raw, &report) != nil || report.Outcome == "" {
		report.Outcome = runbook.Failed
		report.Reason = "the run returned no report"
	}
	return report
}

// reportOfFailure reads the report that a failed run carries as its error's details; a run that never made one (it was
// terminated, or refused its input) is described by the error alone.
func reportOfFailure(id string, err error) runbook.Report {
	report := runbook.Report{Run: id, Outcome: runbook.Failed, Reason: runbook.Reason(err)}
	var canceled *temporal.CanceledError
	var terminated *temporal.TerminatedError
	var app *temporal.ApplicationError
	var raw json.RawMessage
	switch {
	case errors.As(err, &canceled):
		report.Outcome, report.Reason = runbook.Aborted, "stopped on request"
		if canceled.HasDetails() && canceled.Details(&raw) == nil {
			return readReport(raw)
		}
	case errors.As(err, &terminated):
		report.Reason = "terminated from outside: nothing was undone; the next run and ReadinessCheck find what it left"
	case errors.As(err, &app):
		if app.HasDetails() && app.Details(&raw) == nil {
			if carried := readReport(raw); carried.Procedure != "" {
				return carried
			}
		}
		if runbook.KindOf(err) == runbook.Refused {
			report.Outcome = runbook.RefusedRun
		}
	}
	return report
}

// askTimeout bounds one question: a worker that is away must not stop whoever watches.
const askTimeout = 2 * time.Second

// Ask returns the run's progress now, its child procedures' steps behind its own. It fails while no worker answers
// queries, which says nothing about the run.
func Ask(ctx context.Context, c client.Client, id, runID string) (runbook.Progress, error) {
	p, err := ask(ctx, c, id, runID)
	if err != nil {
		return p, err
	}
	for _, child := range p.Children {
		below, err := ask(ctx, c, child, "")
		if err != nil {
			continue // just begun, or just ended: the parent takes its steps over at its end
		}
		p.Steps = append(p.Steps, below.Steps...)
		p.Plan.Changes = append(p.Plan.Changes, below.Plan.Changes...)
		p.Phase += ": " + below.Phase
	}
	return p, nil
}

func ask(ctx context.Context, c client.Client, id, runID string) (runbook.Progress, error) {
	var p runbook.Progress
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	value, err := c.QueryWorkflow(ctx, id, runID, runbook.ProgressQuery)
	if err != nil {
		return p, err
	}
	if err := value.Get(&p); err != nil {
		return p, fmt.Errorf("progress of %s: %w", id, err)
	}
	return p, nil
}
