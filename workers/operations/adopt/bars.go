package adopt

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/workflows/runbook"
)

// bars finds what bars a roll of an app or a worker, and what the override can do
// about it. It takes nothing away from a service that users reach in no other way.
func (s *stack) bars(out *Service) {
	if !out.Role.Rolled() || out.once {
		return
	}
	svc := s.project.Services[out.Name]
	app := out.Role == runbook.RoleApp
	lifts := app && out.upstream != ""
	at := func(path ...string) int { return s.line(append([]string{"services", out.Name}, path...)...) }
	bar := func(line int, override, way, format string, args ...any) *Bar {
		out.Bars = append(out.Bars, Bar{
			Line: line, What: fmt.Sprintf(format, args...), Way: way, Lifted: lifts && override != "", override: override,
		})
		return &out.Bars[len(out.Bars)-1]
	}
	if app && !lifts {
		bar(out.Line, "", s.noRouteWay(), "%s", s.noRoute(out.Name))
	}
	if svc.ContainerName != "" {
		bar(at("container_name"), "container_name: !reset null", "remove the line",
			"container_name %s: two replicas cannot share a name", svc.ContainerName)
	}
	override := "ports: !reset []"
	for i, p := range svc.Ports {
		if p.Published != "" {
			bar(at("ports", strconv.Itoa(i)), override, "remove it, and let the proxy route to the port inside",
				"host port %s: two replicas cannot share a port, and whoever uses it must come through the proxy", p.Published).Lifted = lifts
			override = "" // once takes all of them back
		}
	}
	if strings.HasPrefix(svc.NetworkMode, "host") {
		bar(at("network_mode"), "", "put it on a network of the stack", "network_mode host: two replicas cannot share the host's ports")
	}
	if app && svc.GetScale() < 2 {
		replicas := "deploy: {replicas: 2}"
		if svc.Scale != nil {
			replicas = "scale: 2"
		}
		bar(s.replicasLine(out.Name), replicas, "set deploy.replicas to 2, where two of it may run at once",
			"%d replica: one that fails has no other beside it", svc.GetScale())
	}
	if !app {
		bar(out.Line, "", "let it answer GET /control/status and add x-hive.probe, or leave it to docker compose",
			"no x-hive.probe: whether it holds a task is not known")
	}
	if app && !hasHealthcheck(svc) {
		bar(out.Line, "", "give it a health check in the compose file, one that asks the service and not only the process",
			"no health check: that it runs is all the engine knows of it")
	}
	if out.probe == nil && app {
		bar(out.Line, "", "add x-hive.probe, such as {http: /healthz, port: 8080}", "no port is known that could be asked for health")
	}
	for _, field := range docker.Untranslated(svc) {
		bar(at(strings.Split(field, ".")[0]), "", "remove it, or leave the service to docker compose", "%s: replicas made by hive would lose it", field)
	}
	for _, v := range svc.Volumes {
		if v.Type == types.VolumeTypeVolume && !v.ReadOnly && v.Source != "" && app {
			out.Notes = append(out.Notes, fmt.Sprintf("it writes to volume %s at %s: both replicas would, so be sure that it may", v.Source, v.Target))
		}
	}
}

// noRoute says why nothing can move the traffic of a service.
func (s *stack) noRoute(name string) string {
	switch {
	case s.proxy.Kind == "":
		return "no proxy stands before it: users are connected to this very container, and nothing can move them to another"
	case s.proxy.Kind != nginx:
		return s.proxy.Kind + " is not served yet, only nginx is: nothing of hive can move its traffic"
	case s.routes == nil:
		return "how nginx routes is not known: nothing can move its traffic"
	case s.routes.lost[name]:
		return "nginx routes to it in a way that cannot be moved (see the notes)"
	default:
		return "nginx does not route to it by its name: nothing can move its traffic"
	}
}

func (s *stack) noRouteWay() string {
	switch {
	case s.proxy.Kind == "":
		return "put an nginx before it"
	case s.proxy.Kind != nginx:
		return "put an nginx before it, behind " + s.proxy.Kind
	default:
		return "route to it in nginx's configuration, by its service's name"
	}
}

func (s *stack) replicasLine(name string) int {
	if s.stands("services", name, "scale") {
		return s.line("services", name, "scale")
	}
	return s.line("services", name, "deploy", "replicas")
}

func hasHealthcheck(svc types.ServiceConfig) bool {
	c := svc.HealthCheck
	return c != nil && !c.Disable && len(c.Test) > 0 && c.Test[0] != "NONE"
}

// asked is what a health check asks.
type asked struct {
	path string
	port int
}

var healthy = regexp.MustCompile(`https?://[^\s"'|;)]+`)

// healthURL is what a service's health check asks over HTTP.
func healthURL(svc types.ServiceConfig) (asked, bool) {
	if !hasHealthcheck(svc) {
		return asked{}, false
	}
	for _, text := range healthy.FindAllString(strings.Join(svc.HealthCheck.Test, " "), -1) {
		u, err := url.Parse(text)
		if err != nil || strings.Contains(text, "$") {
			continue
		}
		port := 80
		if u.Scheme == "https" {
			continue // a probe speaks plain HTTP
		}
		if p, err := strconv.Atoi(u.Port()); err == nil {
			port = p
		}
		return asked{or(u.EscapedPath(), "/"), port}, true
	}
	return asked{}, false
}

// probe says how a replica is asked for its health, and how users' front door leads
// to the same question.
func (s *stack) probe(out *Service) {
	svc := s.project.Services[out.Name]
	if out.Role != runbook.RoleApp {
		return
	}
	url, http := healthURL(svc)
	port, why := 0, ""
	for _, one := range s.routes.of(out.Name) {
		out.upstream = fileName(out.Name)
		if one.port != 0 {
			port, why = one.port, fmt.Sprintf("nginx routes to this port (%s:%d)", s.routes.file, one.pass.line)
			break
		}
	}
	if http && (port == 0 || port == url.port) {
		out.probe = &runbook.Probe{HTTP: url.path, Port: url.port}
		out.probeWhy = fmt.Sprintf("its health check asks this (line %d)", s.line("services", out.Name, "healthcheck"))
		if out.health = s.routes.through(out.Name, url.path); out.upstream != "" && out.health == "" {
			out.Notes = append(out.Notes, fmt.Sprintf("no path through nginx leads to its %s for certain: add proxy.health yourself; without it readiness does not ask through the front door, and on a quiet stack a new replica is asked for nothing it could be judged by", url.path))
		}
		return
	}
	if ports := inside(svc); port == 0 && len(ports) > 0 {
		port, why = int(ports[0]), "it says that it listens on this port"
	}
	if port == 0 {
		return
	}
	out.probe = &runbook.Probe{Port: port}
	out.probeWhy = why + "; a connection is all that is asked for: name the path that tells its health"
	if out.upstream != "" {
		out.Notes = append(out.Notes, "no path is known that tells its health: add probe.http and proxy.health; without them a replica that answers only errors passes for healthy until its monitor window, and on a quiet stack it is asked for nothing it could be judged by")
	}
}
