package report

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

// view is the report in the words and numbers that the page shows.
type view struct {
	Style                    template.CSS
	Procedure, Title, Run    string
	Outcome, Tone, Verdict   string
	Reason                   string
	Started, Finished, Took  string
	Tiles                    []tile
	Ticks                    []tick
	Bars                     []bar
	Omitted                  int
	Traffic                  []traffic
	PlanHash, LedgerHead     string
	Changes                  []planned
	Differences              []runbook.Difference
	Problems, Notes          []finding
	DoneSteps, ChangedSteps  int
	UndoneSteps, FailedSteps int
}

type tile struct{ Label, Value, Unit, Tone, Note string }

type tick struct{ Left, Label string }

type bar struct {
	Name, Target, Outcome, Tone   string
	Note, Undo, Changed           string
	Left, Width, Offset, Took     string
	System, Verb, StartedAt, Mark string
}

type traffic struct {
	Source, Requests, Failed, Duplicated string
	Gap, Before, During, After           string
	Verdict, Tone                        string
}

type planned struct{ Step, Target, What, Effect, Reason string }

type finding struct{ Severity, Tone, Target, What string }

func viewOf(r runbook.Report, mostBars int) view {
	v := view{
		Procedure: r.Procedure, Title: words(r.Procedure), Run: r.Run, Outcome: string(r.Outcome),
		Tone: outcomeTone(r.Outcome), Verdict: verdict(r), Reason: r.Reason,
		Started: instant(r.Started), Finished: instant(r.Finished), Took: lasted(r.Finished.Sub(r.Started)),
		PlanHash: r.Plan.Hash, Differences: r.Plan.Differences,
	}
	if r.Ledger != nil {
		v.LedgerHead = r.Ledger.String()
	}
	v.countSteps(r.Steps)
	v.Bars, v.Omitted = bars(r, mostBars)
	v.Ticks = ticks(r.Finished.Sub(r.Started))
	for _, t := range r.Traffic {
		v.Traffic = append(v.Traffic, trafficRow(t))
	}
	v.Tiles = v.tiles(r)
	for _, c := range r.Plan.Changes {
		v.Changes = append(v.Changes, planned{c.Step, c.Target, c.What, c.Effect, c.Reason})
	}
	for _, f := range r.Findings {
		row := finding{string(f.Severity), severityTone(f.Severity), f.Target, f.What}
		if row.Tone == "good" {
			v.Notes = append(v.Notes, row)
		} else {
			v.Problems = append(v.Problems, row)
		}
	}
	return v
}

func (v *view) countSteps(steps []runbook.StepReport) {
	for _, s := range steps {
		switch s.Outcome {
		case runbook.StepDone:
			v.DoneSteps++
		case runbook.StepUndone:
			v.UndoneSteps++
		case runbook.StepFailed:
			v.FailedSteps++
		case runbook.StepRunning, runbook.StepSkipped:
		}
		if s.Changed {
			v.ChangedSteps++
		}
	}
}

// tiles are the four numbers that an operator looks for first. Several sources
// count the same users differently, so the worst of each number is shown.
func (v *view) tiles(r runbook.Report) []tile {
	steps := tile{Label: "Changes made", Value: group(int64(v.ChangedSteps)), Tone: "plain", Note: fmt.Sprintf("of %d planned", len(r.Plan.Changes))}
	if v.UndoneSteps > 0 {
		steps.Note = fmt.Sprintf("%d of them put back", v.UndoneSteps)
	}
	if len(r.Traffic) == 0 {
		return []tile{steps, {Label: "Failed requests", Value: "no data", Tone: "nodata", Note: "no traffic was measured"},
			{Label: "Took", Value: v.Took, Tone: "plain"}}
	}
	var requests, failed int64
	var gap, during *float64
	var from string
	for _, t := range r.Traffic {
		if t.Requests > requests {
			requests, from = t.Requests, t.Source
		}
		failed = max(failed, t.Failed)
		gap, during = larger(gap, t.LongestGapMS), larger(during, t.P99DuringMS)
	}
	lost := tile{Label: "Failed requests", Value: group(failed), Tone: "good", Note: fmt.Sprintf("of %s, by %s", group(requests), from)}
	if failed > 0 {
		lost.Tone = "critical"
	}
	if requests == 0 {
		lost = tile{Label: "Failed requests", Value: "no data", Tone: "nodata", Note: "no request was seen"}
	}
	return []tile{lost, msTile("p99 during", during, "slowest source"), msTile("Longest gap", gap, "between two answers"), steps}
}

func msTile(label string, v *float64, note string) tile {
	if v == nil {
		return tile{Label: label, Value: "no data", Tone: "nodata", Note: note}
	}
	return tile{Label: label, Value: decimals(*v), Unit: "ms", Tone: "plain", Note: note}
}

func larger(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

func trafficRow(t runbook.Traffic) traffic {
	row := traffic{Source: t.Source, Requests: group(t.Requests), Failed: group(t.Failed), Duplicated: "not known",
		Gap: ms(t.LongestGapMS), Before: ms(t.P99BeforeMS), During: ms(t.P99DuringMS), After: ms(t.P99AfterMS),
		Verdict: "none lost", Tone: "good"}
	if t.Duplicated != nil {
		row.Duplicated = group(*t.Duplicated)
	}
	switch {
	case t.Requests == 0:
		row.Verdict, row.Tone = "no data", "nodata"
	case t.Failed > 0:
		row.Verdict, row.Tone = fmt.Sprintf("%s lost", group(t.Failed)), "critical"
	case t.Duplicated != nil && *t.Duplicated > 0:
		row.Verdict, row.Tone = group(*t.Duplicated)+" twice", "critical"
	case slower(t):
		row.Verdict, row.Tone = "none lost, slower", "warning"
	}
	return row
}

// slower applies the bar of a roll: p99 during at most the larger of twice the
// p99 before, and 20 ms more.
func slower(t runbook.Traffic) bool {
	return t.P99BeforeMS != nil && t.P99DuringMS != nil && *t.P99DuringMS > max(2**t.P99BeforeMS, *t.P99BeforeMS+20)
}

func verdict(r runbook.Report) string {
	switch r.Outcome {
	case runbook.Succeeded:
		if len(r.Plan.Changes) == 0 {
			return "There was nothing to do."
		}
		return "Everything planned is done and verified."
	case runbook.Failed:
		return "Something could not be done. Read the reason first."
	case runbook.Reverted:
		return "Something failed, and what was begun was put back."
	case runbook.RefusedRun:
		return "Nothing was begun."
	case runbook.Aborted:
		return "Stopped on request at a safe point."
	case runbook.Planned:
		return "A plan only. Nothing was changed."
	default:
		return "The run has not ended."
	}
}

func instant(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("Mon 2 Jan 2006, 15:04:05 UTC")
}

// words turns WeeklyMaintenance into Weekly Maintenance.
func words(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}
