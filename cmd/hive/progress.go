package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"golang.org/x/term"

	"github.com/leanvibe/hive/workers/operations/follow"
	"github.com/leanvibe/hive/workflows/runbook"
)

// pollEvery is how often a run is asked for its progress: quick enough to feel live, a query each.
const pollEvery = 500 * time.Millisecond

// display shows progress as it grows.
type display interface {
	show(runbook.Progress)
	// done leaves the screen ready for the report.
	done()
}

// watch shows a run's progress until ctx ends and returns the last that was seen. A query that fails shows nothing: the
// run goes on without us, and its end is learned elsewhere.
func (e *environment) watch(ctx context.Context, t client.Client, run client.WorkflowRun) runbook.Progress {
	shown := e.display()
	defer shown.done()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	var last runbook.Progress
	for {
		if p, err := follow.Ask(ctx, t, run.GetID(), run.GetRunID()); err == nil {
			last = p
			shown.show(p)
		}
		select {
		case <-ctx.Done():
			// Once more: the last steps ended with the run, after the last question.
			if p, err := follow.Ask(context.WithoutCancel(ctx), t, run.GetID(), run.GetRunID()); err == nil {
				last = p
				shown.show(p)
			}
			return last
		case <-ticker.C:
		}
	}
}

func (e *environment) display() display {
	file, isFile := e.out.(*os.File)
	switch {
	case e.json():
		return nothing{}
	case isFile && term.IsTerminal(int(file.Fd())):
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil {
			width = 80
		}
		return &screen{out: e.out, width: width}
	default:
		return &lines{out: e.out, seen: map[int]runbook.StepOutcome{}}
	}
}

// nothing shows nothing: the program that reads JSON gets one document.
type nothing struct{}

func (nothing) show(runbook.Progress) {}
func (nothing) done()                 {}

// lines appends one line each time a step changes state: for pipes and logs.
type lines struct {
	out   io.Writer
	phase string
	seen  map[int]runbook.StepOutcome
}

func (l *lines) show(p runbook.Progress) {
	if p.Phase != l.phase {
		l.phase = p.Phase
		fmt.Fprintf(l.out, "%s  %s\n", time.Now().Format(time.TimeOnly), p.Phase)
	}
	for i, s := range p.Steps {
		if l.seen[i] != s.Outcome {
			l.seen[i] = s.Outcome
			fmt.Fprintf(l.out, "%s  %s\n", time.Now().Format(time.TimeOnly), stepLine(s, time.Now()))
		}
	}
}

func (*lines) done() {}

// tailSteps is how many steps a terminal shows at a time.
const tailSteps = 12

// screen redraws the last steps in place.
type screen struct {
	out   io.Writer
	width int
	drawn int
}

func (s *screen) show(p runbook.Progress) {
	var b strings.Builder
	s.erase(&b)
	now := time.Now()
	rows := []string{fmt.Sprintf("%s · %s · %d of %d changes", or(p.Procedure, "run"), or(p.Phase, "starting"), finished(p.Steps), max(len(p.Plan.Changes), finished(p.Steps)))}
	from := max(0, len(p.Steps)-tailSteps)
	if from > 0 {
		rows = append(rows, fmt.Sprintf("  … %d earlier steps", from))
	}
	for _, step := range p.Steps[from:] {
		rows = append(rows, "  "+stepLine(step, now))
	}
	for _, row := range rows {
		b.WriteString(cut(row, s.width-1) + "\n")
	}
	s.drawn = len(rows)
	fmt.Fprint(s.out, b.String())
}

func (s *screen) erase(b *strings.Builder) {
	if s.drawn > 0 {
		fmt.Fprintf(b, "\x1b[%dA\x1b[J", s.drawn)
	}
}

// done takes the live block away: the report that follows says all of it.
func (s *screen) done() {
	var b strings.Builder
	s.erase(&b)
	fmt.Fprint(s.out, b.String())
	s.drawn = 0
}

func finished(steps []runbook.StepReport) int {
	n := 0
	for _, s := range steps {
		if s.Outcome != runbook.StepRunning {
			n++
		}
	}
	return n
}

func stepLine(s runbook.StepReport, now time.Time) string {
	end := s.Finished
	if s.Outcome == runbook.StepRunning || end.IsZero() {
		end = now
	}
	line := fmt.Sprintf("%s %-28s %-28s %6s", mark(s.Outcome), s.Name, s.Target, took(end.Sub(s.Started)))
	if s.Note != "" {
		line += "  " + s.Note
	}
	return line
}

func mark(o runbook.StepOutcome) string {
	switch o {
	case runbook.StepRunning:
		return "▸"
	case runbook.StepDone:
		return "✓"
	case runbook.StepSkipped:
		return "–"
	case runbook.StepFailed:
		return "✗"
	case runbook.StepUndone:
		return "↶"
	default:
		return "?"
	}
}

func took(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// cut shortens a row to the terminal's width: a wrapped row would break the redrawing.
func cut(row string, width int) string {
	runes := []rune(row)
	if width < 2 || len(runes) <= width {
		return row
	}
	return string(runes[:width-1]) + "…"
}
