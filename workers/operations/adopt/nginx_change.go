package adopt

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// edit replaces a part of a text.
type edit struct {
	start, end int
	text       string
}

// nginxChange is what hive needs of a configuration, as edits of its text.
type nginxChange struct {
	routes *routes
	text   string
	// services are those whose traffic hive will move.
	services []string
	// keepalive says that this nginx knows keepalive_min_timeout.
	keepalive bool
	edits     []edit
	notes     []string
}

// changeNginx answers the configuration as hive needs it, and what is to be known
// about it. One that includes the generation already stays as it is.
func changeNginx(r *routes, text string, services []string, keepalive bool) (string, []string) {
	c := &nginxChange{routes: r, text: text, services: services, keepalive: keepalive}
	if strings.Contains(text, upstreamDir+"/generation.conf") || len(services) == 0 {
		return text, nil
	}
	fresh := c.upstreams()
	c.httpLevel(fresh)
	c.servers()
	sort.SliceStable(c.edits, func(i, j int) bool { return c.edits[i].start > c.edits[j].start })
	for _, e := range c.edits {
		text = text[:e.start] + e.text + text[e.end:]
	}
	return text, c.notes
}

func (c *nginxChange) edit(start, end int, text string) {
	c.edits = append(c.edits, edit{start, end, text})
}

// upstreams has each block of a service take its addresses from hive's file, and
// each pass that names a service go through a block. It answers the blocks that are
// still to be written: their name to the service.
func (c *nginxChange) upstreams() map[string]string {
	fresh, blocks, seen := map[string]string{}, map[string]string{}, map[int]bool{}
	for _, service := range c.services {
		for _, one := range c.routes.of(service) {
			if one.upstream == nil || seen[one.upstream.start] {
				continue
			}
			seen[one.upstream.start] = true
			blocks[service] = one.upstream.arg(0)
			c.addressFile(*one.upstream, service)
		}
	}
	taken := map[string]bool{}
	c.routes.root.walk(func(d directive) {
		if d.name == "upstream" {
			taken[d.arg(0)] = true
		}
	})
	for _, service := range c.services {
		for _, one := range c.routes.of(service) {
			if one.upstream != nil {
				continue
			}
			name, ok := blocks[service]
			if !ok {
				if name = fileName(service); taken[name] {
					name += "-hive"
				}
				blocks[service], fresh[name] = name, service
			}
			c.edit(one.target.start, one.target.end, name)
			if !c.setsHost(one) && one.pass.name == "proxy_pass" {
				c.note("%s:%d: the Host header that %s gets was %s and becomes %s, because no proxy_set_header Host is set",
					c.routes.file, one.pass.line, service, one.target.text, name)
			}
		}
	}
	return fresh
}

// addressFile puts the include in the place of the first server and takes the others
// out.
func (c *nginxChange) addressFile(block directive, service string) {
	for i, d := range block.all("server") {
		if extra := slices.DeleteFunc(words(d.args[min(1, len(d.args)):]), harmless); len(extra) > 0 {
			c.note("%s:%d: %s of the server line is lost: address files treat replicas alike", c.routes.file, d.line, strings.Join(extra, " "))
		}
		if i == 0 {
			c.edit(d.start, d.end, "include "+upstreamDir+"/"+fileName(service)+".conf;")
			continue
		}
		start, end := d.start, d.end
		for start > 0 && (c.text[start-1] == ' ' || c.text[start-1] == '\t') {
			start--
		}
		if start > 0 && c.text[start-1] == '\n' && end < len(c.text) && c.text[end] == '\n' {
			end++
		}
		c.edit(start, end, "")
	}
}

// harmless are parameters that say what address files say anyway.
func harmless(parameter string) bool {
	return parameter == "weight=1" || parameter == "resolve" || strings.HasPrefix(parameter, "max_fails=") || strings.HasPrefix(parameter, "fail_timeout=")
}

func words(spans []span) []string {
	var out []string
	for _, s := range spans {
		out = append(out, s.text)
	}
	return out
}

// setsHost says whether the Host header is the configuration's own choice. nginx
// takes the headers of the innermost block that sets any.
func (c *nginxChange) setsHost(one route) bool {
	for _, block := range slices.Backward(one.around) {
		if set := block.all("proxy_set_header"); len(set) > 0 {
			return slices.ContainsFunc(set, func(d directive) bool { return strings.EqualFold(d.arg(0), "Host") })
		}
	}
	return false
}

// httpLevel writes what stands once: the generation, the log, new upstream blocks.
func (c *nginxChange) httpLevel(fresh map[string]string) {
	at, indent, level := 0, "", c.routes.root
	if https := level.all("http"); len(https) > 0 {
		level = https[0]
		at, indent = level.opening+1, c.indentOf(level, "    ")
	}
	lines := []string{
		"# hive: the generation of the address files that a worker has loaded; every answer carries it",
		"include " + upstreamDir + "/generation.conf;",
		"# hive: one JSON line a request, a file a day: by it a new replica is judged and an old one known to be quiet",
		"log_format hive escape=json",
		`  '{"time":"$time_iso8601","msec":$msec,"method":"$request_method","uri":"$uri","status":$status,'`,
		`  '"upstream_addr":"$upstream_addr","upstream_status":"$upstream_status",'`,
		`  '"request_time":$request_time,"upstream_response_time":"$upstream_response_time",'`,
		`  '"generation":"$hive_generation","request_id":"$request_id"}';`,
		`map $time_iso8601 $hive_day { "~^(?<day>\d{4}-\d{2}-\d{2})" $day; default "undated"; }`,
		accessLog,
		"open_log_file_cache max=8 inactive=60s valid=1s;",
	}
	if c.keepalive && !level.has("keepalive_min_timeout") {
		lines = append(lines, "# hive: a reload must not close a connection on which a request is under way",
			"keepalive_min_timeout 2s;")
	}
	for _, name := range slices.Sorted(maps.Keys(fresh)) {
		lines = append(lines, "upstream "+name+" { include "+upstreamDir+"/"+fileName(fresh[name])+".conf; }")
	}
	if at == 0 {
		c.edit(0, 0, strings.Join(lines, "\n")+"\n\n")
		return
	}
	c.edit(at, at, "\n"+indented(lines, indent))
}

const accessLog = "access_log /var/log/hive/access-$hive_day.log hive;"

var headers = []string{
	"add_header X-Hive-Generation $hive_generation always;",
	"add_header X-Hive-Upstream   $upstream_addr   always;",
	"add_header X-Hive-Instance   $upstream_addr   always;",
}

// servers has every answer carry who gave it, and lets the generation be asked for.
func (c *nginxChange) servers() {
	found := 0
	c.routes.root.walk(func(d directive) {
		if d.name != "server" || !d.block {
			return
		}
		found++
		lines := append([]string{"# hive: which generation answered, and which replica (empty where nginx answered by itself)"}, headers...)
		if logs := d.all("access_log"); len(logs) > 0 && logs[0].arg(0) != "off" {
			lines = append(lines, accessLog)
		}
		if !d.has("root") && !c.rootAbove() {
			lines = append(lines, "# hive: nginx writes a log with a variable in its name only where the root exists",
				"root /usr/share/nginx/html;")
		}
		if !d.has("return") {
			lines = append(lines, "location = /.hive/generation { access_log off; return 204; }")
		}
		c.edit(d.opening+1, d.opening+1, "\n"+indented(lines, c.indentOf(d, "    ")))
		c.locations(d)
	})
	if found == 0 {
		c.note("%s holds no server block: add these lines to each server yourself: %s", c.routes.file, strings.Join(headers, " "))
	}
}

// rootAbove says whether the http block sets a root.
func (c *nginxChange) rootAbove() bool {
	https := c.routes.root.all("http")
	return c.routes.root.has("root") || len(https) > 0 && https[0].has("root")
}

// locations repeats the headers where a location sets some of its own: nginx then
// forgets those of the server.
func (c *nginxChange) locations(server directive) {
	server.walk(func(d directive) {
		if d.name == "location" && d.block && d.has("add_header") {
			c.edit(d.opening+1, d.opening+1, "\n"+indented(headers, c.indentOf(d, "        ")))
		}
	})
}

func (c *nginxChange) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(c.notes, text) {
		c.notes = append(c.notes, text)
	}
}

// indentOf is how deep the first directive of a block stands.
func (c *nginxChange) indentOf(block directive, otherwise string) string {
	if len(block.inside) == 0 {
		return otherwise
	}
	start := block.inside[0].start
	from := strings.LastIndexByte(c.text[:start], '\n') + 1
	if indent := c.text[from:start]; strings.TrimSpace(indent) == "" {
		return indent
	}
	return otherwise
}

// indented are lines under an opening brace, with what followed it on a line of its own.
func indented(lines []string, indent string) string {
	return indent + strings.Join(lines, "\n"+indent)
}

var notInName = regexp.MustCompile(`[^a-z0-9_-]+`)

// fileName is the name of a service's address file.
func fileName(service string) string {
	name := strings.Trim(notInName.ReplaceAllString(strings.ToLower(service), "-"), "-_")
	if name == "" || name == "generation" {
		return "app-" + name
	}
	return name
}

var nginxTag = regexp.MustCompile(`:v?(\d+)\.(\d+)(?:\.(\d+))?`)

// knowsKeepalive says whether an image's tag names an nginx of 1.27.4 or later; a tag
// without a full version does not tell what lies behind it.
func knowsKeepalive(image string) bool {
	m := nginxTag.FindStringSubmatch(image)
	if m == nil {
		return false
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // digits by the pattern, or nothing
	}
	return slices.Compare(n[:], []int{1, 27, 4}) >= 0
}
