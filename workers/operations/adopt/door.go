package adopt

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	nginx = "nginx"
	// confMax is the largest configuration that is read, in lines.
	confMax = 5000
)

// frontDoor finds the proxy, and what its configuration says.
func (s *stack) frontDoor(conf string) error {
	var found []string
	for _, name := range s.project.ServiceNames() {
		if s.known[name].role == runbook.RoleProxy {
			found = append(found, name)
		}
	}
	// Whoever publishes a port is entered by it; an nginx without one may only serve files.
	slices.SortStableFunc(found, func(a, b string) int {
		return len(s.project.Services[b].Ports) - len(s.project.Services[a].Ports)
	})
	if len(found) == 0 {
		if conf != "" {
			return fmt.Errorf("--proxy-conf %s: no service of the stack is a proxy", conf)
		}
		return nil
	}
	s.proxy = Proxy{Service: found[0], Kind: s.known[found[0]].is}
	if s.proxy.Kind != nginx {
		if conf != "" {
			return fmt.Errorf("--proxy-conf %s: %s is %s, and only nginx is served yet", conf, found[0], s.proxy.Kind)
		}
		return nil
	}
	return s.readConf(conf)
}

// readConf reads the configuration that was named, or the one that the compose file
// mounts. Only a named one must be there.
func (s *stack) readConf(named string) error {
	svc := s.project.Services[s.proxy.Service]
	if named != "" {
		path, err := filepath.Abs(named)
		if err != nil {
			return fmt.Errorf("--proxy-conf %s: %w", named, err)
		}
		r, text, err := s.readOne(path)
		if err != nil {
			return fmt.Errorf("--proxy-conf %w", err)
		}
		s.take(path, text, r)
		return nil
	}
	var routing []string
	for _, path := range mountedConfs(svc) {
		r, text, err := s.readOne(path)
		if err != nil {
			s.notes = append(s.notes, err.Error())
			continue
		}
		if len(r.list) > 0 || len(r.odd) > 0 {
			routing = append(routing, s.name(path))
			s.take(path, text, r)
		}
	}
	switch {
	case len(routing) > 1:
		s.routes, s.proxy.Conf = nil, ""
		s.notes = append(s.notes, fmt.Sprintf("%s route to services, and one file is changed at a time: name the one with --proxy-conf", strings.Join(routing, " and ")))
	case len(routing) == 0 && len(svc.Ports) == 0: // an nginx that nobody enters and that routes nowhere serves files
		s.proxy = Proxy{}
	case len(routing) == 0:
		s.notes = append(s.notes, fmt.Sprintf("%s mounts no configuration that routes to a service: name it with --proxy-conf, and mount it, or hive has nothing to move traffic with", s.proxy.Service))
	}
	return nil
}

func (s *stack) take(path, text string, r *routes) {
	if relative := s.name(path); relative != path {
		path = filepath.Join(s.shown, relative)
	}
	s.proxy.Conf, s.proxy.before, s.routes = path, text, r
}

func (s *stack) readOne(path string) (*routes, string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("%s cannot be read: %w", s.name(path), err)
	}
	text := string(raw)
	if strings.Count(text, "\n") > confMax {
		return nil, "", fmt.Errorf("%s has more than %d lines: cut the part that routes out into a file of its own", s.name(path), confMax)
	}
	r, err := readRoutes(s.name(path), text, s.hosts)
	return r, text, err
}

// name is a path as the operator knows it.
func (s *stack) name(path string) string {
	if relative, err := filepath.Rel(s.dir, path); err == nil && filepath.IsLocal(relative) {
		return relative
	}
	return path
}

// mountedConfs are the files of this machine that nginx reads in the container.
func mountedConfs(svc types.ServiceConfig) []string {
	var out []string
	for _, v := range svc.Volumes {
		if v.Type != types.VolumeTypeBind || !strings.HasPrefix(v.Target, "/etc/nginx") && !strings.Contains(v.Target, "/nginx/conf") {
			continue
		}
		info, err := os.Stat(v.Source)
		if err != nil {
			continue
		}
		if !info.IsDir() {
			if isConf(v.Source) || isConf(v.Target) {
				out = append(out, v.Source)
			}
			continue
		}
		for _, dir := range []string{"", "conf.d", "sites-enabled", "templates"} {
			entries, err := os.ReadDir(filepath.Join(v.Source, dir))
			if err != nil {
				continue
			}
			for _, e := range entries {
				if !e.IsDir() && isConf(e.Name()) {
					out = append(out, filepath.Join(v.Source, dir, e.Name()))
				}
			}
		}
	}
	return out
}

func isConf(name string) bool {
	return strings.HasSuffix(name, ".conf") || strings.HasSuffix(name, ".conf.template")
}

// served says whether hive can move the traffic of some service.
func (s *stack) served() bool {
	return s.proxy.Kind == nginx && s.routes != nil && len(s.routes.list) > 0
}

// url is where this machine reaches the front door; "" where it publishes no port.
// A port whose server routes to a service goes before one that only redirects.
func (s *stack) url() string {
	svc := s.project.Services[s.proxy.Service]
	routing := s.routes.listens()
	best, rank := "", 0
	for _, p := range svc.Ports {
		if p.Published == "" || p.Protocol == "udp" {
			continue
		}
		host, scheme, r := p.HostIP, "http", 1
		switch p.Target {
		case 80, 8080, 8000:
			r = 3
		case 443, 8443:
			scheme, r = "https", 2
		}
		if host == "" || host == "0.0.0.0" || host == "::" {
			host = "127.0.0.1"
		}
		if slices.Contains(routing, int(p.Target)) {
			r += 10
		}
		if r > rank {
			best, rank = fmt.Sprintf("%s://%s:%s", scheme, host, p.Published), r
		}
	}
	return best
}

// change proposes the configuration that hive needs.
func (s *stack) change(p *Proposal) {
	if s.routes != nil {
		s.notes = append(s.notes, s.routes.odd...)
	}
	p.Proxy = s.proxy
	if !s.served() {
		return
	}
	var services []string
	for _, svc := range p.Services {
		if svc.upstream != "" {
			services = append(services, svc.Name)
		}
	}
	image := s.images[s.proxy.Service]
	after, notes := changeNginx(s.routes, s.proxy.before, services, knowsKeepalive(image))
	s.notes = append(s.notes, notes...)
	if len(services) > 0 && !knowsKeepalive(image) {
		s.notes = append(s.notes, fmt.Sprintf("%s does not say that it is nginx 1.27.4 or later, which knows keepalive_min_timeout: without it a reload can lose a POST on a kept connection; use nginx:1.28", or(image, s.proxy.Service)))
	}
	p.Proxy.changed = after
	p.Proxy.Diff = unified(s.routes.file, s.proxy.before, after)
}
