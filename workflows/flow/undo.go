package flow

import (
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Undo is what puts back what a run does: registered before the act it undoes,
// run in reverse order, reading live state, each idempotent.
type Undo struct {
	entries []undo
}

type undo struct {
	target string
	what   string
	run    func(workflow.Context) error
}

// Add registers what puts target back.
func (u *Undo) Add(target, what string, run func(workflow.Context) error) {
	u.entries = append(u.entries, undo{target, what, run})
}

// Len is how many undos stand.
func (u *Undo) Len() int { return len(u.entries) }

// Clear forgets the undos: what was done is kept from here on.
func (u *Undo) Clear() { u.entries = nil }

// Reverting runs a step of an undo: recorded like any other, but not stopped by an
// abort, which is what it may be undoing for.
func Reverting[In, Out any](ctx workflow.Context, r *Run, step runbook.Step[In, Out], target string, in In) (Out, error) {
	return do(ctx, r, step, target, in)
}

// revert runs the undos in reverse order and answers what could not be put back. A
// failed one does not stop the others: as much as possible is put back.
func (u *Undo) revert(ctx workflow.Context, r *Run) (left string) {
	var failed []string
	for i := len(u.entries) - 1; i >= 0; i-- {
		e := u.entries[i]
		r.phase(ctx, "undoing: "+e.what)
		before := len(r.report.Steps)
		if err := e.run(ctx); err != nil {
			failed = append(failed, e.what+" ("+reason(err)+")")
			continue
		}
		for j := range before {
			if s := &r.report.Steps[j]; s.Target == e.target && s.Changed {
				s.Outcome = runbook.StepUndone
			}
		}
	}
	u.entries = nil
	return strings.Join(failed, "; ")
}
