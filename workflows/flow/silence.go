package flow

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// silenceFor is short, so that the silence of a terminated run lapses by itself.
	silenceFor = 15 * time.Minute
	// silenceRenew leaves a slow Alertmanager time to take the extension.
	silenceRenew = 10 * time.Minute
)

// silence is one open silence of the run.
type silence struct {
	input runbook.SilenceInput
	id    string
	end   workflow.CancelFunc
}

// Silence mutes the alerts that the change will disturb, by label = value pairs
// that all must match, for as long as the run lasts. An Alertmanager that is away
// does not stop a run: it is a finding, and alerts may go out.
func (r *Run) Silence(ctx workflow.Context, resource string, matchers map[string]string) {
	if r.Policy.Metrics.Alertmanager == "" {
		return // the stack has none that could alert
	}
	in := runbook.SilenceInput{
		Fence: r.Fence(resource), URL: r.Policy.Metrics.Alertmanager, Matchers: matchers, For: runbook.Duration(silenceFor),
		Comment: r.frame.Name + " changes " + resource, Run: r.report.Run + "#" + resource,
	}
	opened, err := Do(ctx, r, runbook.OpenSilence, resource, in)
	if err != nil {
		if r.Safe(ctx) == nil {
			r.Find(runbook.Warning, resource, "alerts could not be silenced and may go out: "+reason(err))
		}
		return
	}
	keep, _ := workflow.NewDisconnectedContext(ctx)
	keep, end := workflow.WithCancel(keep)
	s := &silence{input: in, id: opened.ID, end: end}
	s.input.ID = opened.ID
	r.silences = append(r.silences, s)
	workflow.Go(keep, func(ctx workflow.Context) {
		for workflow.Sleep(ctx, silenceRenew) == nil {
			if _, err := runbook.OpenSilence.Run(ctx, s.input); err != nil && ctx.Err() == nil {
				r.Find(runbook.Warning, resource, "the silence could not be extended: "+reason(err))
			}
		}
	})
}

// endSilences ends what the run opened.
func (r *Run) endSilences(ctx workflow.Context) {
	for _, s := range r.silences {
		s.end()
		if _, err := Reverting(ctx, r, runbook.CloseSilence, s.input.Resource, s.input); err != nil {
			r.Find(runbook.Warning, s.input.Resource, "the silence could not be ended and lapses by itself within "+silenceFor.String()+": "+reason(err))
		}
	}
	r.silences = nil
}
