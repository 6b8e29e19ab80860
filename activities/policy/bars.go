package policy

import (
	"fmt"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/leanvibe/hive/workflows/runbook"
)

// bars are the reasons why a service cannot be rolled without downtime, each with
// what would remove it.
func (h Hand) bars(svc types.ServiceConfig, s runbook.Service, proxied bool) []string {
	var out []string
	bar := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if svc.ContainerName != "" {
		bar("container_name %s: two replicas cannot share a name; remove the line", svc.ContainerName)
	}
	for _, p := range svc.Ports {
		if p.Published != "" {
			bar("host port %s: two replicas cannot share a port; remove it and let the proxy route to %d", p.Published, p.Target)
		}
	}
	if s.Role == runbook.RoleApp && s.Replicas < 2 {
		bar("%d replica: one that fails has no other beside it; set deploy.replicas to 2", s.Replicas)
	}
	switch {
	case s.Role != runbook.RoleApp:
	case !proxied:
		bar("no proxy in the policy: its users are connected to this very container, and nothing moves them to another; put an nginx before it and name that as proxy.service")
	case s.Upstream == "":
		bar("no x-hive.proxy.upstream: the proxy has no address file to move its traffic with")
	}
	if s.Probe == nil {
		bar("no x-hive.probe: nothing tells a healthy replica from a broken one; add {http: /readyz, port: …}")
	}
	for _, field := range h.Untranslated(svc) {
		bar("%s: replicas made by hive would lose it; remove it, or leave the service to docker compose", field)
	}
	return out
}
