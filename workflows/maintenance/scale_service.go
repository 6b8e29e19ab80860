package maintenance

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/runbook"
)

// RunScaleService is ScaleService's body.
func RunScaleService(ctx workflow.Context, in ScaleServiceInput) (runbook.Report, error) {
	return flow.Conduct(ctx, flow.Frame{Name: ScaleService.Name, Options: in.Options, Files: files(ScaleService.ID(in))},
		func(ctx workflow.Context, r *flow.Run) error {
			if in.Service == "" {
				return showScalable(r)
			}
			services, err := chosen(r.Stack, []string{in.Service})
			if err != nil {
				return err
			}
			if !in.Plan {
				if err := r.Take(ctx, rollLocks(ScaleService.Name, services)...); err != nil {
					return err
				}
			}
			seen, err := observe(ctx, r)
			if err != nil {
				return err
			}
			budget, err := connections(ctx, r)
			if err != nil {
				return err
			}
			decided, err := decideScale(seen, in.Service, in.Replicas, r.Policy, budget)
			if err != nil {
				return err
			}
			r.FindAll(decided.Findings)
			if err := r.Decided(ctx, decided.Changes); err != nil {
				return err
			}
			if len(decided.Changes) == 0 {
				return nil
			}
			return rollAll(ctx, r, seen, []serviceRoll{decided.roll(seen)})
		})
}

// showScalable answers a run without a service: what could be scaled, and how.
func showScalable(r *flow.Run) error {
	for _, svc := range r.Stack.Services {
		if svc.Rolled() {
			r.Find(runbook.Good, svc.Name, fmt.Sprintf("%d replicas by the compose file; to change that while it runs: {\"service\":%q,\"replicas\":%d}",
				svc.Replicas, svc.Name, svc.Replicas+1))
		}
	}
	return flow.ErrPlanned
}

// connections reads the database's budget: more replicas take more of it.
func connections(ctx workflow.Context, r *flow.Run) (runbook.DatabaseState, error) {
	if !r.Policy.Database.Declared() {
		return runbook.DatabaseState{}, nil // no budget that more replicas could exceed
	}
	return flow.Do(ctx, r, runbook.ObserveDatabase, r.Policy.Database.Name,
		runbook.DatabaseInput{Project: r.Stack.Project, Database: r.Policy.Database})
}

// roll is the scale as slots of a roll: replicas to create, or old ones to retire.
func (d scaleDecision) roll(seen observed) serviceRoll {
	out := serviceRoll{Service: d.Service, Image: seen.images[d.Service.Image], ImageID: d.ImageID, Previous: d.ImageID}
	for range d.To - d.From {
		out.Slots = append(out.Slots, slot{Create: true})
	}
	for i := range d.Remove {
		out.Slots = append(out.Slots, slot{Old: &d.Remove[i]})
	}
	// A scale changes how many run, never what the tag names.
	out.Image.LocalID = d.ImageID
	return out
}
