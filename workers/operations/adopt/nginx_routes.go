package adopt

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// passes are the directives that send a request on.
var passes = []string{"proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass"}

// upstreamDir is where the proxy sees the address files.
const upstreamDir = "/etc/nginx/hive.d"

// included is the line of an upstream that hive looks after already.
var included = regexp.MustCompile(`(?:^|/)hive\.d/([a-z0-9][a-z0-9_-]*)\.conf$`)

// route is one way from the proxy to a service.
type route struct {
	service string
	// port is 0 where an address file names it.
	port int
	// upstream is the block that it goes through, nil for a pass that names the
	// service itself.
	upstream *directive
	pass     directive
	// target is where in the pass the host stands.
	target span
	// around are the blocks that it stands in, the server among them.
	around []directive
	server directive
	// modifier and path are the location's; uri is what the pass puts in the path's
	// place, if it does.
	modifier, path, uri string
	replaces            bool
}

// routes is what a configuration says of who is reached how.
type routes struct {
	file string
	root directive
	// service answers which Compose service a host name is, "" for none.
	service func(host string) string
	list    []route
	// odd are passes and upstreams that hive cannot look after, with the services
	// that are therefore left to themselves.
	odd  []string
	lost map[string]bool
}

func readRoutes(file, text string, service func(string) string) (*routes, error) {
	root, err := readNginx(file, text)
	if err != nil {
		return nil, err
	}
	r := &routes{file: file, root: root, service: service, lost: map[string]bool{}}
	upstreams := map[string]directive{}
	root.walk(func(d directive) {
		if d.name == "upstream" && d.block {
			upstreams[d.arg(0)] = d
		}
	})
	r.visit([]directive{root}, directive{}, "", "", upstreams)
	r.onePortEach()
	return r, nil
}

func (r *routes) oddly(line int, format string, args ...any) {
	text := fmt.Sprintf("%s:%d: ", r.file, line) + fmt.Sprintf(format, args...)
	if !slices.Contains(r.odd, text) {
		r.odd = append(r.odd, text)
	}
}

// visit goes down to the passes and remembers in which server and location they are.
func (r *routes) visit(around []directive, server directive, modifier, path string, upstreams map[string]directive) {
	for _, d := range around[len(around)-1].inside {
		within := append(slices.Clone(around), d)
		switch {
		case d.name == "server" && d.block:
			r.visit(within, d, "", "", upstreams)
		case d.name == "location" && d.block:
			m, p := "", d.arg(0)
			if len(d.args) > 1 {
				m, p = d.arg(0), d.arg(1)
			}
			r.visit(within, server, m, p, upstreams)
		case slices.Contains(passes, d.name):
			r.pass(d, route{around: around, server: server, modifier: modifier, path: path}, upstreams)
		case d.block:
			r.visit(within, server, modifier, path, upstreams)
		}
	}
}

// pass notes where a request is sent on to.
func (r *routes) pass(d directive, one route, upstreams map[string]directive) {
	value := d.arg(0)
	if value == "" {
		return // nginx has a word to say about it
	}
	if strings.Contains(value, "$") {
		r.oddly(d.line, "%s by a variable: which service it reaches is not known here, and it stays as it is", d.name)
		return
	}
	at := 0
	if i := strings.Index(value, "://"); i >= 0 {
		at = i + 3
	}
	rest := value[at:]
	host, uri := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, uri = rest[:i], rest[i:]
	}
	start := d.args[0].start + at
	if d.args[0].end-d.args[0].start != len(value) { // quoted
		start++
	}
	one.pass, one.target = d, span{host, start, start + len(host)}
	one.uri, one.replaces = uri, uri != ""
	if block, ok := upstreams[host]; ok {
		service, port, ok := r.upstream(block)
		if ok {
			one.service, one.port, one.upstream = service, port, &block
			r.list = append(r.list, one)
		}
		return
	}
	name, port := hostPort(host, defaultPort(d.name, value))
	if service := r.service(name); service != "" {
		one.service, one.port = service, port
		r.list = append(r.list, one)
	}
}

// upstream answers which one service a block routes to. A block that mixes services,
// or a service with strangers, has no address file that could be one service's.
func (r *routes) upstream(block directive) (service string, port int, ok bool) {
	for _, d := range block.all("include") {
		if m := included.FindStringSubmatch(d.arg(0)); m != nil {
			return r.service(m[1]), 0, r.service(m[1]) != ""
		}
	}
	var services []string
	var ports []int
	stranger := false
	for _, d := range block.all("server") {
		name, p := hostPort(d.arg(0), 80)
		s := r.service(name)
		stranger = stranger || s == ""
		if s != "" && !slices.Contains(services, s) {
			services = append(services, s)
		}
		if !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	switch {
	case len(services) == 0:
		return "", 0, false
	case len(services) > 1:
		r.oddly(block.line, "upstream %s holds %s: one upstream is one service's; make them one service with %d replicas",
			block.arg(0), strings.Join(services, " and "), len(services))
	case stranger:
		r.oddly(block.line, "upstream %s holds %s and servers that are no service of the compose file: it stays as it is", block.arg(0), services[0])
	case len(ports) > 1:
		r.oddly(block.line, "upstream %s holds %s on several ports: replicas of a service answer on one", block.arg(0), services[0])
	default:
		return services[0], ports[0], true
	}
	for _, s := range services {
		r.lost[s] = true
	}
	return "", 0, false
}

// onePortEach leaves a service alone that is reached on several ports: a roll would
// move the traffic of one and lose the other's.
func (r *routes) onePortEach() {
	ports := map[string]int{}
	for _, one := range r.list {
		known, seen := ports[one.service]
		if seen && one.port != 0 && known != 0 && known != one.port && !r.lost[one.service] {
			r.lost[one.service] = true
			r.oddly(one.pass.line, "%s is reached on port %d here and on port %d elsewhere: a roll moves the traffic of one port", one.service, one.port, known)
		}
		if !seen || known == 0 {
			ports[one.service] = one.port
		}
	}
}

// of are the routes to a service that hive can look after.
func (r *routes) of(service string) []route {
	var out []route
	if r == nil || r.lost[service] {
		return nil
	}
	for _, one := range r.list {
		if one.service == service {
			out = append(out, one)
		}
	}
	return out
}

// listens are the ports of the servers that route to a service.
func (r *routes) listens() []int {
	var out []int
	for _, one := range r.list {
		for _, d := range one.server.all("listen") {
			address := d.arg(0)
			if port, err := strconv.Atoi(address[strings.LastIndexByte(address, ':')+1:]); err == nil {
				out = append(out, port)
			}
		}
	}
	return out
}

// through is the path by which users' front door leads to a path of the service;
// "" where none does for certain.
func (r *routes) through(service, path string) string {
	for _, one := range r.of(service) {
		public := ""
		switch {
		case one.modifier != "" && one.modifier != "^~" && one.modifier != "=", one.path == "":
			continue
		case !one.replaces:
			public = path
		case strings.HasPrefix(path, one.uri):
			public = one.path + strings.TrimPrefix(path, one.uri)
		}
		if strings.HasPrefix(public, one.path) && caught(one.server, public) == one.path {
			return public
		}
	}
	return ""
}

// caught is the location of a server that a path ends up in, as nginx decides: an
// exact one, else the longest beginning unless a pattern matches.
func caught(server directive, path string) string {
	best, firm, pattern := "", false, false
	for _, d := range server.all("location") {
		m, p := "", d.arg(0)
		if len(d.args) > 1 {
			m, p = d.arg(0), d.arg(1)
		}
		switch m {
		case "=":
			if p == path {
				return p
			}
		case "~", "~*":
			if m == "~*" {
				p = "(?i)" + p
			}
			re, err := regexp.Compile(p)
			pattern = pattern || err != nil || re.MatchString(path)
		case "", "^~":
			if strings.HasPrefix(path, p) && len(p) >= len(best) {
				best, firm = p, m == "^~"
			}
		}
	}
	if pattern && !firm {
		return ""
	}
	return best
}

func hostPort(host string, otherwise int) (string, int) {
	name, text, ok := strings.Cut(host, ":")
	if port, err := strconv.Atoi(text); ok && err == nil {
		return name, port
	}
	return name, otherwise
}

func defaultPort(pass, value string) int {
	switch {
	case strings.HasPrefix(value, "https://"), strings.HasPrefix(value, "grpcs://"):
		return 443
	case pass == "fastcgi_pass":
		return 9000
	default:
		return 80
	}
}
