package maintenance

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/runbook"
)

// RunRollingRestart is RollingRestart's body.
func RunRollingRestart(ctx workflow.Context, in RollingRestartInput) (runbook.Report, error) {
	return flow.Conduct(ctx, flow.Frame{Name: RollingRestart.Name, Options: in.Options, Files: files(RollingRestart.ID(in))},
		func(ctx workflow.Context, r *flow.Run) error {
			services, err := chosen(r.Stack, in.Services)
			if err != nil {
				return err
			}
			if !in.Plan {
				if err := r.Take(ctx, rollLocks(RollingRestart.Name, services)...); err != nil {
					return err
				}
			}
			seen, err := observe(ctx, r)
			if err != nil {
				return err
			}
			decided, err := decideRoll(seen, in.Services, in.Force)
			if err != nil {
				return err
			}
			r.FindAll(decided.Findings)
			if err := decided.refusal(in.Options); err != nil {
				return err
			}
			if err := r.Decided(ctx, decided.Changes); err != nil {
				return err
			}
			if len(decided.Rolls) == 0 {
				return nil
			}
			return rollAll(ctx, r, seen, decided.Rolls)
		})
}

// rollLocks are the resources of a procedure that replaces replicas.
func rollLocks(procedure string, services []runbook.Service) []string {
	out := []string{flow.Procedure(procedure), flow.Proxy, flow.Images}
	for _, svc := range services {
		out = append(out, flow.Service(svc.Name))
	}
	return out
}

// rollAll rolls the services side by side, then keeps what was done: only when
// every service has passed do the tags move and the old replicas go.
func rollAll(ctx workflow.Context, r *flow.Run, seen observed, plans []serviceRoll) error {
	var rolls []*roll
	var parts []func(workflow.Context) error
	var services []runbook.Service
	for _, plan := range plans {
		one := newRoll(r, seen, plan)
		rolls = append(rolls, one)
		parts = append(parts, one.do)
		services = append(services, plan.Service)
	}
	for _, svc := range services {
		r.Silence(ctx, flow.Service(svc.Name), map[string]string{"service": svc.Name})
	}
	r.Probe(ctx, probeURLs(r, services))
	r.Phase(ctx, "replacing replicas")
	if err := flow.Together(ctx, r.Policy.Rolling.SideBySide, parts...); err != nil {
		return err
	}
	replaced := workflow.Now(ctx)
	r.Phase(ctx, "keeping what was done")
	for _, one := range rolls {
		if err := one.keep(ctx); err != nil {
			return err
		}
	}
	r.Undo.Clear()
	for _, one := range rolls {
		if err := one.sweep(ctx); err != nil {
			return err
		}
	}
	return measure(ctx, r, replaced)
}

// measure takes what users saw of the run out of nginx's own log. Without it the
// run did no worse, but its evidence is thinner, and that is said. What follows
// changed counts as after the run.
func measure(ctx workflow.Context, r *flow.Run, changed time.Time) error {
	if !r.Policy.Proxy.Declared() {
		r.Find(runbook.NoData, "traffic", "not in the policy: without a proxy nobody has counted what users saw of the run")
		return nil
	}
	traffic, err := flow.Do(ctx, r, runbook.MeasureTraffic, r.Policy.Proxy.Service, runbook.MeasureTrafficInput{
		ProxyInput: proxyOf(r), Started: r.Begun(), Finished: changed,
	})
	if err != nil {
		if stop := r.Safe(ctx); stop != nil {
			return stop
		}
		r.Find(runbook.NoData, "traffic", "nginx's log could not be measured: "+runbook.Reason(err))
		return nil
	}
	r.Measured(traffic)
	return nil
}
