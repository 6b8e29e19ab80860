package maintenance

import (
	"sort"

	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/runbook"
)

// observe looks at everything a roll decides from, side by side.
func observe(ctx workflow.Context, r *flow.Run) (observed, error) {
	r.Phase(ctx, "looking")
	o := observed{stack: r.Stack, images: map[string]runbook.ResolvedImage{}}
	parts := []func(workflow.Context) error{
		func(ctx workflow.Context) (err error) {
			o.census, err = flow.Do(ctx, r, runbook.TakeCensus, r.Stack.Project, runbook.CensusInput{Project: r.Stack.Project})
			return err
		},
	}
	if r.Policy.Proxy.Declared() {
		parts = append(parts, func(ctx workflow.Context) (err error) {
			o.proxy, err = flow.Do(ctx, r, runbook.ObserveProxy, r.Policy.Proxy.Service, proxyOf(r))
			return err
		})
	}
	for _, image := range images(r.Stack) {
		parts = append(parts, func(ctx workflow.Context) error {
			resolved, err := flow.Do(ctx, r, runbook.ResolveImage, image, runbook.ResolveImageInput{Image: image})
			o.images[image] = resolved
			return err
		})
	}
	return o, flow.Together(ctx, 0, parts...)
}

func images(stack runbook.Stack) []string {
	seen := map[string]bool{}
	var out []string
	for _, svc := range stack.Services {
		if !seen[svc.Image] {
			seen[svc.Image] = true
			out = append(out, svc.Image)
		}
	}
	sort.Strings(out)
	return out
}

func proxyOf(r *flow.Run) runbook.ProxyInput {
	return runbook.ProxyInput{Project: r.Stack.Project, Proxy: r.Policy.Proxy}
}

// probeURLs are the health paths through the proxy of the services that change; none
// where there is no proxy.
func probeURLs(r *flow.Run, services []runbook.Service) []string {
	if !r.Policy.Proxy.Declared() {
		return nil
	}
	var out []string
	for _, svc := range services {
		if svc.ProxyHealth != "" {
			out = append(out, r.Policy.Proxy.URL+svc.ProxyHealth)
		}
	}
	for _, path := range r.Policy.Readiness.ProxyPaths {
		out = append(out, r.Policy.Proxy.URL+path)
	}
	return out
}
