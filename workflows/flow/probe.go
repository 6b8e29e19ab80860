package flow

import (
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

// probe is the watch through the proxy while a change runs.
type probe struct {
	end    workflow.CancelFunc
	result runbook.Future[runbook.Traffic]
	step   int
}

// Probe asks through the proxy for as long as the run lasts, and puts what it
// measured into the report.
func (r *Run) Probe(ctx workflow.Context, urls []string) {
	if len(urls) == 0 || r.probe != nil {
		return
	}
	watch, _ := workflow.NewDisconnectedContext(ctx)
	watch, end := workflow.WithCancel(watch)
	r.report.Steps = append(r.report.Steps, runbook.StepReport{
		Name: runbook.Watch.Name, Target: "proxy", Outcome: runbook.StepRunning, Started: workflow.Now(ctx),
	})
	r.probe = &probe{end: end, result: runbook.Watch.Start(watch, runbook.WatchInput{URLs: urls}), step: len(r.report.Steps) - 1}
	r.show(ctx)
}

// stopProbe ends the watch and takes its measurement.
func (r *Run) stopProbe(ctx workflow.Context) {
	if r.probe == nil {
		return
	}
	r.probe.end()
	measured, err := r.probe.result.Get(ctx)
	s := &r.report.Steps[r.probe.step]
	s.Finished, s.Outcome = workflow.Now(ctx), runbook.StepDone
	if err != nil {
		s.Outcome, s.Note = runbook.StepFailed, reason(err)
		r.Find(runbook.NoData, "probe", "what it measured is lost: "+reason(err))
	} else {
		r.Measured(measured)
	}
	r.probe = nil
}
