package flow

import (
	"errors"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

// undoOf names what puts a step back, for the report; only writes have one.
var undoOf = map[string]string{
	runbook.CreateReplica.Name: runbook.StopReplica.Name + ", " + runbook.RemoveReplica.Name,
	runbook.StopReplica.Name:   runbook.StartReplica.Name,
	runbook.SetUpstream.Name:   runbook.SetUpstream.Name + " to the previous addresses",
	runbook.TagImage.Name:      runbook.TagImage.Name + " to the previous image",
	runbook.DrainWorker.Name:   runbook.ResumeWorker.Name,
	runbook.DrainReplica.Name:  runbook.ResumeReplica.Name,
	runbook.OpenSilence.Name:   runbook.CloseSilence.Name,
}

// Do runs one step of a run and records it as it happens. A step is not begun
// after the run was asked to stop. Writes are not interrupted half-way: they end,
// and the run stops behind them; reads and the long irreversible acts (which stop
// cleanly by themselves) end at once.
func Do[In, Out any](ctx workflow.Context, r *Run, step runbook.Step[In, Out], target string, in In) (Out, error) {
	var none Out
	if err := r.Safe(ctx); err != nil {
		return none, err
	}
	if step.Effect == runbook.Write {
		ctx, _ = workflow.NewDisconnectedContext(ctx)
	}
	return do(ctx, r, step, target, in)
}

func do[In, Out any](ctx workflow.Context, r *Run, step runbook.Step[In, Out], target string, in In) (Out, error) {
	at := len(r.report.Steps)
	r.report.Steps = append(r.report.Steps, runbook.StepReport{
		Name: step.Name, Target: target, Outcome: runbook.StepRunning, Started: workflow.Now(ctx), Undo: undoFor(step.Name, step.Effect),
	})
	if step.Effect != runbook.Read {
		r.begun = true
	}
	r.show(ctx)
	out, err := step.Run(ctx, in)
	s := &r.report.Steps[at]
	s.Finished = workflow.Now(ctx)
	s.Outcome = runbook.StepDone
	if c, ok := any(out).(runbook.Changer); ok && err == nil {
		s.Changed = c.DidChange()
	}
	if err != nil {
		s.Outcome, s.Note = runbook.StepFailed, reason(err)
		if canceled(err) {
			s.Outcome, s.Note = runbook.StepSkipped, "stopped"
		}
	}
	r.show(ctx)
	return out, err
}

func undoFor(step string, effect runbook.Effect) string {
	switch {
	case effect == runbook.Read:
		return ""
	case undoOf[step] != "":
		return undoOf[step]
	default:
		return "none"
	}
}

func canceled(err error) bool {
	var c *temporal.CanceledError
	return errors.As(err, &c)
}

// Note adds words to the last step of that name and target: what was seen, when
// the step's own result decides nothing.
func (r *Run) Note(step, target, note string) {
	if s := r.last(step, target); s != nil {
		s.Note = note
	}
}

// Fail marks the last step of that name and target as failed, where its answer,
// not its error, says so.
func (r *Run) Fail(step, target, why string) {
	if s := r.last(step, target); s != nil {
		s.Outcome, s.Note = runbook.StepFailed, why
	}
}

// Skipped marks the last step of that name and target as skipped, where it looked
// and found that it must not act.
func (r *Run) Skipped(step, target, why string) {
	if s := r.last(step, target); s != nil {
		s.Outcome, s.Note = runbook.StepSkipped, why
	}
}

func (r *Run) last(step, target string) *runbook.StepReport {
	for i := len(r.report.Steps) - 1; i >= 0; i-- {
		if s := &r.report.Steps[i]; s.Name == step && s.Target == target {
			return s
		}
	}
	return nil
}

// Skip records a planned step that is not done, and why.
func (r *Run) Skip(ctx workflow.Context, step, target, why string) {
	now := workflow.Now(ctx)
	r.report.Steps = append(r.report.Steps, runbook.StepReport{
		Name: step, Target: target, Outcome: runbook.StepSkipped, Started: now, Finished: now, Note: why,
	})
	r.show(ctx)
}

// Safe is a safe point: it answers with an error when the run was asked to stop or
// a lock of it has ended.
func (r *Run) Safe(ctx workflow.Context) error {
	if r.lost != "" {
		return runbook.Fail(runbook.Unsafe, "the lock %s has ended", r.lost)
	}
	return ctx.Err()
}
