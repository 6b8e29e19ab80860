package flow

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Phase says in words what the run is at.
func (r *Run) Phase(ctx workflow.Context, what string) { r.phase(ctx, what) }

func (r *Run) phase(ctx workflow.Context, what string) {
	r.now = what
	updates := []temporal.SearchAttributeUpdate{opsPhase.ValueSet(what)}
	if r.report.Outcome != "" {
		updates = append(updates, opsOutcome.ValueSet(string(r.report.Outcome)))
	}
	r.mark(ctx, updates...)
	r.show(ctx)
}

func (r *Run) mark(ctx workflow.Context, updates ...temporal.SearchAttributeUpdate) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		workflow.GetLogger(ctx).Warn("search attributes not set", "error", err)
	}
}

func (r *Run) progress() (runbook.Progress, error) {
	return runbook.Progress{
		Procedure: r.frame.Name, Phase: r.now, Outcome: r.report.Outcome, Plan: r.plan, Steps: r.report.Steps, Children: r.children,
	}, nil
}

// show renews the page that the Temporal UI shows under Current Details.
func (r *Run) show(ctx workflow.Context) { workflow.SetCurrentDetails(ctx, r.details()) }

const (
	// detailsMax keeps the page below what the UI takes in one link (8 KB).
	detailsMax   = 7000
	shownSteps   = 25
	shownChanges = 20
)

// details is the run as markdown: what it is at, what it will do, what it did.
func (r *Run) details() string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**: %s\n\n", r.frame.Name, r.now)
	if r.report.Reason != "" {
		fmt.Fprintf(&b, "%s\n\n", r.report.Reason)
	}
	b.WriteString(r.page)
	r.traffic(&b)
	r.steps(&b)
	r.planned(&b)
	for _, f := range r.report.Findings {
		if f.Severity != runbook.Good && f.Severity != runbook.Excellent {
			fmt.Fprintf(&b, "- %s: %s: %s\n", f.Severity, f.Target, f.What)
		}
	}
	page := b.String()
	if len(page) > detailsMax {
		page = strings.ToValidUTF8(page[:detailsMax], "") + "\n\n… more in the report"
	}
	return page
}

func (r *Run) steps(b *strings.Builder) {
	steps := r.report.Steps
	if len(steps) == 0 {
		return
	}
	b.WriteString("| | step | target | took | |\n|-|-|-|-|-|\n")
	if from := len(steps) - shownSteps; from > 0 {
		fmt.Fprintf(b, "| | %d earlier steps | | | |\n", from)
		steps = steps[from:]
	}
	for _, s := range steps {
		took := ""
		if !s.Finished.IsZero() {
			took = s.Finished.Sub(s.Started).Round(100 * time.Millisecond).String()
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", sign(s.Outcome), s.Name, cell(s.Target), took, cell(s.Note))
	}
	b.WriteString("\n")
}

func (r *Run) planned(b *strings.Builder) {
	if r.plan.Hash == "" {
		return
	}
	fmt.Fprintf(b, "Plan `%.19s…`, %d changes", r.plan.Hash, len(r.plan.Changes))
	b.WriteString("\n\n")
	for i, c := range r.plan.Changes {
		if i == shownChanges {
			fmt.Fprintf(b, "- … %d more\n", len(r.plan.Changes)-shownChanges)
			break
		}
		fmt.Fprintf(b, "- %s: %s\n", c.Target, c.What)
	}
	b.WriteString("\n")
}

func (r *Run) traffic(b *strings.Builder) {
	for _, t := range r.report.Traffic {
		fmt.Fprintf(b, "- traffic by %s: %d requests, %d failed\n", t.Source, t.Requests, t.Failed)
	}
	if len(r.report.Traffic) > 0 {
		b.WriteString("\n")
	}
}

func sign(o runbook.StepOutcome) string {
	switch o {
	case runbook.StepRunning:
		return "…"
	case runbook.StepDone:
		return "✓"
	case runbook.StepSkipped:
		return "–"
	case runbook.StepFailed:
		return "✗"
	case runbook.StepUndone:
		return "↺"
	default:
		return "?"
	}
}

// cell keeps a text inside its table cell.
func cell(s string) string {
	const widest = 160
	s = strings.NewReplacer("|", "/", "\n", " ").Replace(s)
	if len(s) > widest {
		s = strings.ToValidUTF8(s[:widest], "") + "…"
	}
	return s
}
