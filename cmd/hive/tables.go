package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/lipgloss/table"

	"github.com/leanvibe/hive/workflows/runbook"
)

func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// grid draws a table without borders but with a rule under its head, as `docker ps` readers expect.
func grid(out io.Writer, head []string, rows [][]string) {
	t := table.New().Headers(head...).Rows(rows...).
		Border(lipgloss.HiddenBorder()).BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).
		BorderHeader(false).BorderColumn(true)
	for line := range strings.SplitSeq(t.String(), "\n") {
		fmt.Fprintln(out, strings.TrimRight(line, " "))
	}
}

// printReport prints what a run did: steps, or for a plan its changes; traffic; findings; the outcome last.
func printReport(out io.Writer, r runbook.Report) {
	if len(r.Steps) > 0 {
		grid(out, []string{"", "STEP", "TARGET", "OUTCOME", "CHANGED", "TOOK", "NOTE"}, stepRows(r.Steps))
	}
	if r.Outcome == runbook.Planned {
		printPlan(out, r.Plan)
	}
	if len(r.Traffic) > 0 {
		grid(out, []string{"TRAFFIC", "REQUESTS", "FAILED", "DUPLICATED", "GAP ms", "P99 BEFORE", "DURING", "AFTER"}, trafficRows(r.Traffic))
	}
	for _, f := range r.Findings {
		fmt.Fprintf(out, "%s  %s: %s\n", f.Severity, f.Target, f.What)
	}
	for _, d := range r.Plan.Differences {
		fmt.Fprintf(out, "not as planned  %s: %s\n", d.Target, d.What)
	}
	fmt.Fprintf(out, "%s: %s", or(r.Procedure, r.Run), r.Outcome)
	if !r.Finished.IsZero() && !r.Started.IsZero() {
		fmt.Fprintf(out, " in %s", took(r.Finished.Sub(r.Started)))
	}
	if r.Reason != "" {
		fmt.Fprintf(out, ": %s", r.Reason)
	}
	fmt.Fprintln(out)
}

func printPlan(out io.Writer, plan runbook.PlanSummary) {
	if len(plan.Changes) == 0 {
		fmt.Fprintln(out, "nothing to change")
	}
	var rows [][]string
	for i, c := range plan.Changes {
		rows = append(rows, []string{fmt.Sprint(i + 1), c.Step, c.Target, c.What, c.Effect, c.Reason})
	}
	if len(rows) > 0 {
		grid(out, []string{"#", "STEP", "TARGET", "CHANGE", "EFFECT", "WHY"}, rows)
	}
	if plan.Hash != "" {
		fmt.Fprintf(out, "plan %s\n", plan.Hash)
	}
}

func stepRows(steps []runbook.StepReport) [][]string {
	var rows [][]string
	for _, s := range steps {
		changed := "no"
		if s.Changed {
			changed = "yes"
		}
		rows = append(rows, []string{mark(s.Outcome), s.Name, s.Target, string(s.Outcome), changed, took(s.Finished.Sub(s.Started)), s.Note})
	}
	return rows
}

func trafficRows(traffic []runbook.Traffic) [][]string {
	var rows [][]string
	for _, t := range traffic {
		duplicated := "not known"
		if t.Duplicated != nil {
			duplicated = fmt.Sprint(*t.Duplicated)
		}
		rows = append(rows, []string{
			t.Source, fmt.Sprint(t.Requests), fmt.Sprint(t.Failed), duplicated,
			measured(t.LongestGapMS), measured(t.P99BeforeMS), measured(t.P99DuringMS), measured(t.P99AfterMS),
		})
	}
	return rows
}

// measured is a figure, or the words for its absence.
func measured(ms *float64) string {
	if ms == nil {
		return "no data"
	}
	return fmt.Sprintf("%.1f", *ms)
}
