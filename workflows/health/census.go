package health

import (
	"fmt"
	"sort"
	"strings"

	"github.com/leanvibe/hive/workflows/runbook"
)

// censusChecks compares what runs with the compose file: one check a service, one
// for strangers, one for logs without a limit. images are the image IDs that the
// services' tags name here, by image reference; a reference not in it is not judged.
func censusChecks(stack runbook.Stack, census runbook.Census, images map[string]string) []Check {
	var checks []Check
	for _, svc := range stack.Services {
		checks = append(checks, serviceCensus(svc, census.Of(svc.Name), images[svc.Image]))
	}
	return append(checks, strangers(stack, census), unboundedLogs(census))
}

func serviceCensus(svc runbook.Service, containers []runbook.Container, image string) Check {
	if svc.Once {
		return onceCensus(svc, containers)
	}
	var v verdict
	running := 0
	for _, c := range containers {
		if c.State == "running" {
			running++
		}
		judgeContainer(&v, svc, c, image)
	}
	switch {
	case running < svc.Replicas:
		v.add(runbook.Critical, fmt.Sprintf("%d of %d replicas run", running, svc.Replicas))
	case running > svc.Replicas:
		v.add(runbook.Warning, fmt.Sprintf("%d replicas run where the compose file says %d: scaled, or left by a run that was ended", running, svc.Replicas))
	}
	return v.check("census: "+svc.Name, fmt.Sprintf("%d of %d healthy", running, svc.Replicas))
}

// onceCensus judges a service that runs to its end: that it has ended is no fault,
// how it ended may be one.
func onceCensus(svc runbook.Service, containers []runbook.Container) Check {
	var v verdict
	seen := ""
	if len(containers) == 0 {
		v.add(runbook.Warning, "it runs once, and no container of it is here to tell whether it has")
	}
	for _, c := range containers {
		switch {
		case c.State == "running":
			seen = c.Name + " runs, and ends by itself"
		case c.State == "exited" && c.ExitCode == 0:
			seen = c.Name + " has run to its end"
		case c.State == "exited":
			v.add(runbook.Critical, leftover(c)+": it runs once, and did not end well")
		default:
			v.add(runbook.Warning, leftover(c))
		}
	}
	return v.check("census: "+svc.Name, seen)
}

// monitorDied is what an engine's silence on a container's health means, and the way out.
const monitorDied = "the engine's health monitor of it has died; restarting the container brings it back"

func judgeContainer(v *verdict, svc runbook.Service, c runbook.Container, image string) {
	if c.State != "running" {
		v.add(runbook.Warning, leftover(c))
		return
	}
	switch {
	case c.Health == runbook.HealthSilent:
		v.add(runbook.NoData, fmt.Sprintf("%s has not been checked for %s, and does not pass its own check now: %s", c.Name, c.HealthSilent, monitorDied))
	case svc.HasHealthcheck && c.Health == "starting":
		v.add(runbook.Warning, c.Name+" is starting")
	case svc.HasHealthcheck && c.Health != "healthy":
		v.add(runbook.Critical, c.Name+" is "+or(c.Health, "without a health verdict"))
	case c.HealthSilent > 0:
		v.add(runbook.Warning, fmt.Sprintf("%s passes its own check, but the engine has not run it for %s: %s", c.Name, c.HealthSilent, monitorDied))
	}
	if c.OOMKilled {
		v.add(runbook.Warning, c.Name+" was killed for memory")
	}
	if c.ConfigHash != svc.ConfigHash {
		v.add(runbook.Warning, c.Name+" was made from another compose file"+adopt(svc))
	}
	if image != "" && c.ImageID != image {
		v.add(runbook.Warning, c.Name+" does not run what "+svc.Image+" names here"+adopt(svc))
	}
}

// adopt is the way out of a replica that differs from the compose file.
func adopt(svc runbook.Service) string {
	if svc.Role.Rolled() {
		return "; RollingRestart adopts it"
	}
	return "; `docker compose up -d " + svc.Name + "` would adopt it, with an interruption"
}

// leftover names a stopped container and what it most likely is.
func leftover(c runbook.Container) string {
	s := fmt.Sprintf("%s is %s", c.Name, c.State)
	if c.State == "exited" {
		s += fmt.Sprintf(" (code %d)", c.ExitCode)
	}
	if c.OOMKilled {
		s += ", killed for memory"
	}
	if c.Run != "" {
		s += ": made by run " + c.Run + ", which goes on or was ended half-way; RollingRestart clears it"
	}
	return s
}

func strangers(stack runbook.Stack, census runbook.Census) Check {
	var v verdict
	for _, c := range census.Containers {
		if _, known := stack.Service(c.Service); !known {
			v.add(runbook.Warning, c.Name+" belongs to no service of the compose file")
		}
	}
	return v.check("census: strangers", "none")
}

func unboundedLogs(census runbook.Census) Check {
	var names []string
	for _, c := range census.Containers {
		if c.State == "running" && !c.LogLimited {
			names = append(names, c.Name)
		}
	}
	sort.Strings(names)
	var v verdict
	if len(names) > 0 {
		v.add(runbook.Warning, "the engine keeps logs without limit for "+strings.Join(names, ", ")+"; give them logging.options max-size and max-file")
	}
	return v.check("container logs", "every log has a limit")
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
