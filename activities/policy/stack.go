package policy

import (
	"sort"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/leanvibe/hive/workflows/runbook"
)

// stack is what procedures may know of the project; proxied says whether the policy
// names a proxy.
func (h Hand) stack(files Layout, project *types.Project, proxied bool) (runbook.Stack, error) {
	written, err := h.composeTexts(files)
	if err != nil {
		return runbook.Stack{}, err
	}
	e := newExtensions(written)
	out := runbook.Stack{Project: project.Name}
	if _, ok := project.Extensions[extension]; ok {
		e.mistake([]string{extension}, extension, "stands at the top", "it under a service or a network", "")
	}
	for _, name := range project.ServiceNames() {
		svc := project.Services[name]
		s, err := h.service(files, svc, e.service(name, svc.Extensions))
		if err != nil {
			return out, err
		}
		if s.Rolled() {
			s.Bars = h.bars(svc, s, proxied)
		}
		out.Services = append(out.Services, s)
	}
	sort.SliceStable(out.Services, func(i, j int) bool { return out.Services[i].Order < out.Services[j].Order })
	h.network(project, e, &out)
	if len(e.mistakes) > 0 {
		return out, runbook.Fail(runbook.Refused, "%s", sentences(e.mistakes))
	}
	return out, nil
}

// service takes over names, hashes and limits, one by one: what is not named here
// stays out of history, the environment first of all.
func (h Hand) service(files Layout, svc types.ServiceConfig, x hiveService) (runbook.Service, error) {
	hash, err := h.Hash(svc)
	if err != nil {
		return runbook.Service{}, runbook.FailCause(runbook.Refused, err, "%s: services.%s has no configuration hash", files.Stack(), svc.Name)
	}
	s := runbook.Service{
		Name: svc.Name, Role: x.Role, Order: x.Order, Once: x.Once, Replicas: svc.GetScale(), Image: svc.Image, ConfigHash: hash,
		Probe: x.Probe, Supply: x.Supply, Control: x.Control, MinHealthy: x.MinHealthy, Drain: x.Drain, StopGrace: stopGrace(svc),
		HasHealthcheck: hasHealthcheck(svc), LogLimited: logLimited(svc), MemoryLimit: memoryLimit(svc),
	}
	if x.Proxy != nil {
		s.Upstream, s.ProxyHealth = x.Proxy.Upstream, x.Proxy.Health
	}
	return s, nil
}

// stopGrace is the engine's own default where the file says nothing.
func stopGrace(svc types.ServiceConfig) runbook.Duration {
	const engineDefault = runbook.Duration(10e9)
	if svc.StopGracePeriod == nil {
		return engineDefault
	}
	return runbook.Duration(*svc.StopGracePeriod)
}

func hasHealthcheck(svc types.ServiceConfig) bool {
	c := svc.HealthCheck
	return c != nil && !c.Disable && len(c.Test) > 0 && c.Test[0] != "NONE"
}

// logLimited says whether the engine bounds the container's log by itself: its
// own json-file driver does only when told, "local" always, the others keep none.
func logLimited(svc types.ServiceConfig) bool {
	if svc.Logging == nil || svc.Logging.Driver == "" || svc.Logging.Driver == "json-file" {
		return svc.Logging != nil && svc.Logging.Options["max-size"] != "" && svc.Logging.Options["max-size"] != "-1"
	}
	return true
}

func memoryLimit(svc types.ServiceConfig) int64 {
	if svc.MemLimit > 0 {
		return int64(svc.MemLimit)
	}
	if svc.Deploy != nil && svc.Deploy.Resources.Limits != nil {
		return int64(svc.Deploy.Resources.Limits.MemoryBytes)
	}
	return 0
}
