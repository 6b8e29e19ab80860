package policy

import (
	"fmt"

	"github.com/leanvibe/hive/workflows/runbook"
)

// consistent finds values that are each fine and together make no sense.
func consistent(file string, p runbook.Policy, at positions) []mistake {
	var out []mistake
	wrong := func(path, found, want string) {
		out = append(out, mistake{file, at.of(path), path, found, want, ""})
	}
	if p.Logs.DeleteAfter <= p.Logs.CompressAfter {
		wrong("logs.delete_after", p.Logs.DeleteAfter.String(), "more than compress_after, "+p.Logs.CompressAfter.String())
	}
	if _, given := at["metrics"]; given && p.Metrics == (runbook.MetricsPolicy{}) {
		wrong("metrics", "names neither Prometheus nor Alertmanager", "at least one of prometheus and alertmanager, or no metrics section")
	}
	if len(p.Baselines) > 0 && p.Metrics.Prometheus == "" {
		wrong("baselines", "nobody to ask: metrics.prometheus is missing", "metrics.prometheus beside baselines")
	}
	if len(p.Readiness.ProxyPaths) > 0 && !p.Proxy.Declared() {
		wrong("readiness.proxy_paths", "nobody to ask: there is no proxy section", "a proxy section beside proxy_paths")
	}
	seen := map[string]bool{}
	for i, b := range p.Baselines {
		path := fmt.Sprintf("baselines[%d]", i)
		if seen[b.Metric] {
			wrong(path+".metric", b.Metric+" a second time", "each metric once")
		}
		seen[b.Metric] = true
		if !ordered(b) {
			wrong(path+".excellent", fmt.Sprintf("bands %g, %g, %g, %g with %s better", b.Excellent, b.Good, b.Warning, b.Critical, b.Better),
				"excellent, good, warning and critical in order from better to worse")
		}
	}
	return out
}

func ordered(b runbook.Baseline) bool {
	if b.Better == "higher" {
		return b.Excellent >= b.Good && b.Good >= b.Warning && b.Warning >= b.Critical
	}
	return b.Excellent <= b.Good && b.Good <= b.Warning && b.Warning <= b.Critical
}

// agree holds the policy against the stack: the services it names must exist and
// be what it takes them for. A section that is not there names nothing.
func agree(files Layout, p runbook.Policy, at positions, stack runbook.Stack) error {
	var out []mistake
	named := func(path, service string, role runbook.Role) {
		svc, ok := stack.Service(service)
		switch {
		case !ok:
			out = append(out, mistake{files.Runbook, at.of(path), path, "no service " + service + " in " + files.Stack(), "one of " + names(stack, role), ""})
		case svc.Role != role:
			out = append(out, mistake{files.Runbook, at.of(path), path, fmt.Sprintf("service %s has role %s in %s", service, svc.Role, files.Stack()), "a service of role " + string(role), ""})
		}
	}
	if p.Proxy.Declared() {
		named("proxy.service", p.Proxy.Service, runbook.RoleProxy)
	}
	if p.Database.Declared() {
		named("database.service", p.Database.Service, runbook.RoleStore)
	}
	for i, service := range p.Cache.Services {
		named(fmt.Sprintf("cache.services[%d]", i), service, runbook.RoleStore)
	}
	if len(out) > 0 {
		return runbook.Fail(runbook.Refused, "%s", sentences(out))
	}
	return nil
}

func names(stack runbook.Stack, role runbook.Role) string {
	list := ""
	for _, s := range stack.Services {
		if s.Role == role {
			if list != "" {
				list += ", "
			}
			list += s.Name
		}
	}
	return or(list, "nothing: it has no service of role "+string(role))
}

// of is the position of a path, or of the nearest parent that the file names.
func (p positions) of(path string) position {
	for {
		if at, ok := p[path]; ok {
			return at
		}
		cut := -1
		for i := len(path) - 1; i >= 0 && cut < 0; i-- {
			if path[i] == '.' || path[i] == '[' {
				cut = i
			}
		}
		if cut < 0 {
			return p[""]
		}
		path = path[:cut]
	}
}
