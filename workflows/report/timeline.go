package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

// bars places every step on the run's time axis, at most `most` of them: reads
// that went well are left out first, and how many is told.
func bars(r runbook.Report, most int) ([]bar, int) {
	steps, omitted := r.Steps, 0
	if len(steps) > most {
		steps, omitted = without(steps, most)
	}
	whole := r.Finished.Sub(r.Started)
	out := make([]bar, 0, len(steps))
	for _, s := range steps {
		out = append(out, barOf(s, r.Started, r.Finished, whole))
	}
	return out, omitted
}

func without(steps []runbook.StepReport, most int) ([]runbook.StepReport, int) {
	var kept []runbook.StepReport
	for _, s := range steps {
		if s.Changed || s.Outcome != runbook.StepDone {
			kept = append(kept, s)
		}
	}
	if len(kept) > most {
		kept = kept[:most]
	}
	return kept, len(steps) - len(kept)
}

func barOf(s runbook.StepReport, started, finished time.Time, whole time.Duration) bar {
	end := s.Finished
	if end.IsZero() {
		end = finished
	}
	system, verb := split(s.Name)
	b := bar{Name: s.Name, System: system, Verb: verb, Target: s.Target, Outcome: string(s.Outcome), Tone: stepTone(s),
		Note: s.Note, Undo: s.Undo, Took: lasted(end.Sub(s.Started)), StartedAt: s.Started.UTC().Format("15:04:05"),
		Left: percent(s.Started.Sub(started), whole), Width: percent(end.Sub(s.Started), whole), Mark: mark(s)}
	b.Offset = "+" + lasted(s.Started.Sub(started))
	if s.Changed {
		b.Changed = "changed"
	}
	return b
}

// percent is d's share of the whole, within 0 and 100.
func percent(d, whole time.Duration) string {
	if whole <= 0 {
		return "0"
	}
	return fmt.Sprintf("%.2f", min(100, max(0, 100*float64(d)/float64(whole))))
}

// split cuts "containers.CreateReplica" into its system and "Create Replica".
func split(name string) (system, verb string) {
	system, verb, found := strings.Cut(name, ".")
	if !found {
		return "", words(name)
	}
	return system, words(verb)
}

func mark(s runbook.StepReport) string {
	switch s.Outcome {
	case runbook.StepDone:
		if s.Changed {
			return "●"
		}
		return "○"
	case runbook.StepSkipped:
		return "↷"
	case runbook.StepFailed:
		return "✕"
	case runbook.StepUndone:
		return "↺"
	case runbook.StepRunning:
		return "…"
	default:
		return "?"
	}
}

func stepTone(s runbook.StepReport) string {
	switch s.Outcome {
	case runbook.StepDone:
		if s.Changed {
			return "act"
		}
		return "look"
	case runbook.StepSkipped:
		return "nodata"
	case runbook.StepFailed:
		return "critical"
	case runbook.StepUndone:
		return "warning"
	case runbook.StepRunning:
		return "look"
	default:
		return "nodata"
	}
}

func outcomeTone(o runbook.Outcome) string {
	switch o {
	case runbook.Succeeded:
		return "good"
	case runbook.Planned:
		return "plain"
	case runbook.Reverted, runbook.Aborted, runbook.RefusedRun:
		return "warning"
	case runbook.Failed:
		return "critical"
	default:
		return "nodata"
	}
}

func severityTone(s runbook.Severity) string {
	switch s {
	case runbook.Excellent, runbook.Good:
		return "good"
	case runbook.Warning:
		return "warning"
	case runbook.Critical:
		return "critical"
	case runbook.NoData:
		return "nodata"
	default:
		return "nodata"
	}
}

// ticks are round times along the axis, four to eight of them.
func ticks(whole time.Duration) []tick {
	if whole <= 0 {
		return nil
	}
	step := time.Second
	for _, s := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour} {
		step = s
		if whole/s < 8 {
			break
		}
	}
	var out []tick
	for at := time.Duration(0); at < whole; at += step {
		out = append(out, tick{percent(at, whole), axis(at)})
	}
	return out
}

func axis(d time.Duration) string {
	if d < time.Hour {
		return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}
