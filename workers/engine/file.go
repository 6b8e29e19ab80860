package engine

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// readFile reads the configuration file strictly: an unknown field, a wrong type
// and a value out of bounds are refused, all at once, each with line and column,
// what is expected and an example.
func readFile(path string, own map[string]Handler) (Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", fileSetting, err)
	}
	t := &tree{file: path}
	cfg := Config{}
	if root := t.parse(raw); root != nil {
		t.config(root, &cfg, own)
	}
	return cfg, t.err()
}

const (
	urlWant     = "an http:// or https:// URL"
	urlExample  = "http://nginx"
	portExample = "http://nginx:8084"
	nameExample = "fetch"
)

func (t *tree) config(root ast.Node, c *Config, own map[string]Handler) {
	taken := map[string]bool{}
	total := 0
	var hubGiven bool
	if pairs, ok := pairsOf(t.resolve(root)); ok { // a group's progress is judged by it, and it may stand behind the groups
		hubGiven = slices.ContainsFunc(pairs, func(p *ast.MappingValueNode) bool { return p.Key.GetToken().Value == "hub" })
	}
	given := t.mapping(root, "",
		field{"orchestrator", urlWant, urlExample, text(&c.Orchestrator, isBaseURL)},
		field{"streams", urlWant, portExample, text(&c.Streams, isBaseURL)},
		field{"hub", urlWant, urlExample, text(&c.Hub, isBaseURL)},
		field{"grace", "a duration from 1ms to " + graceMax.String(), "20s", duration(&c.Grace, time.Millisecond, graceMax)},
		field{"agents", "a list of groups", "[{name: hasher, handlers: [hash]}]", func(n ast.Node, path string) bool {
			return t.list(n, path, func(n ast.Node, path string) {
				g := Agents{}
				t.group(n, path, &g, own, hubGiven)
				if taken[g.Name] {
					t.say(n, path, fmt.Sprintf("the name %q is taken by another group", g.Name), "a name for each", "hasher")
				}
				taken[g.Name] = true
				if total += or(g.Count, 1); total > agentsMax {
					t.say(n, path, fmt.Sprintf("%d agents with those before", total), fmt.Sprintf("at most %d in one engine", agentsMax), "")
				}
				c.Agents = append(c.Agents, g)
			})
		}})
	if given != nil && given["agents"] == nil {
		t.missing(root, "agents", "a list of groups", "agents: [{name: hasher, handlers: [hash]}]")
	}
}

func (t *tree) group(n ast.Node, path string, g *Agents, own map[string]Handler, hub bool) {
	known := func(s string) bool { return isHandler(s, own) }
	isName := func(s string) bool { return nameForm.MatchString(s) }
	given := t.mapping(n, path,
		field{"name", "at most 64 letters, digits, '.', '_', '-'", "hasher", text(&g.Name, prefixForm.MatchString)},
		field{"count", fmt.Sprintf("a whole number from 1 to %d", agentsMax), "4", whole(&g.Count, 1, agentsMax)},
		field{"capacity", fmt.Sprintf("a whole number from 1 to %d", capacityMax), "4", whole(&g.Capacity, 1, capacityMax)},
		field{"capabilities", "a list of names, at most 16", "[fetch]", func(n ast.Node, path string) bool {
			return t.texts(&g.Capabilities, isName, nameWant, nameExample)(n, path) && len(g.Capabilities) <= capabilitiesMax
		}},
		field{"labels", fmt.Sprintf("a mapping of texts, at most %d", labelsMax), "{zone: a}", t.labels(&g.Labels)},
		field{"handlers", "a list of handlers", "[hash]", t.texts(&g.Handlers, known, "one of "+handlerNames(own), hashName)},
		field{hashName, "", "", func(n ast.Node, path string) bool { t.hash(n, path, &g.Hash); return true }},
		field{sleepName, "", "", func(n ast.Node, path string) bool { t.sleep(n, path, &g.Sleep); return true }},
		field{httpName, "", "", func(n ast.Node, path string) bool { t.http(n, path, &g.HTTP); return true }},
		field{"progress", "", "", func(n ast.Node, path string) bool { t.progress(n, path, &g.Progress); return true }})
	if given == nil {
		return
	}
	if given["handlers"] == nil {
		t.missing(n, join(path, "handlers"), "a list of handlers", "handlers: [hash]")
		return
	}
	for _, name := range []string{hashName, sleepName, httpName} {
		if given[name] != nil && !slices.Contains(g.Handlers, name) {
			t.say(given[name], join(path, name), "options of a handler that this group does not have", name+" in handlers", "handlers: ["+name+"]")
		}
	}
	if given[httpName] == nil && slices.Contains(g.Handlers, httpName) {
		t.missing(n, join(path, httpName), "what the handler http may call", "http: {allow: [{host: api.example.com}]}")
	}
	if given["progress"] != nil && !hub {
		t.say(given["progress"], join(path, "progress"), "reports go through the hub, which the file does not name", "its URL as hub", "hub: http://nginx")
	}
}

func (t *tree) labels(into *map[string]string) func(ast.Node, string) bool {
	return func(n ast.Node, path string) bool {
		pairs, ok := pairsOf(n)
		*into = map[string]string{}
		for _, p := range pairs {
			key, value := p.Key.GetToken().Value, ""
			if len(key) > labelKeyMax || !text(&value, func(s string) bool { return len(s) <= labelValueMax })(t.resolve(p.Value), "") {
				t.wrong(p.Value, join(path, key), fmt.Sprintf("a key of at most %d and a text of at most %d bytes", labelKeyMax, labelValueMax), `"a"`)
			}
			(*into)[key] = value
		}
		return ok && len(pairs) <= labelsMax
	}
}

func (t *tree) hash(n ast.Node, path string, o *HashOptions) {
	t.mapping(n, path, field{"algorithm", algorithmNames, "sha256", text(&o.Algorithm, func(s string) bool { return algorithms[s] != nil })})
}

func (t *tree) sleep(n ast.Node, path string, o *SleepOptions) {
	want := "a duration from 1ms to " + sleepMost.String()
	given := t.mapping(n, path,
		field{"default", want, "1s", duration(&o.Default, time.Millisecond, sleepMost)},
		field{"max", want, "10m", duration(&o.Max, time.Millisecond, sleepMost)})
	if most := or(o.Max, sleepMax); o.Default > most {
		t.wrong(given["default"], join(path, "default"), "a duration up to max, "+most.String(), "1s")
	}
}

func (t *tree) progress(n ast.Node, path string, o *ProgressOptions) {
	given := t.mapping(n, path,
		field{"to", addressWant, "topic:task-{task}", text(&o.To, isAddress)},
		field{"every", fmt.Sprintf("a duration from %s to %s", everyLeast, everyMost), "1s", duration(&o.Every, everyLeast, everyMost)})
	if given != nil && given["to"] == nil {
		t.missing(n, join(path, "to"), addressWant, "to: topic:task-{task}")
	}
}

func (t *tree) http(n ast.Node, path string, o *HTTPOptions) {
	given := t.mapping(n, path,
		field{"allow", "a list of hosts", "[{host: api.example.com}]", func(n ast.Node, path string) bool {
			return t.list(n, path, func(n ast.Node, path string) {
				a := Allowed{}
				t.allowed(n, path, &a)
				o.Allow = append(o.Allow, a)
			})
		}},
		field{"timeout", "a duration from 1ms to " + httpTimeoutMax.String(), "10s", duration(&o.Timeout, time.Millisecond, httpTimeoutMax)},
		field{"max_response_bytes", fmt.Sprintf("a whole number from 1 to %d", responseMax), "65536", whole(&o.MaxResponseBytes, 1, responseMax)})
	if given != nil && given["allow"] == nil {
		t.missing(n, join(path, "allow"), "a list of hosts", "allow: [{host: api.example.com}]")
	}
}

func (t *tree) allowed(n ast.Node, path string, a *Allowed) {
	given := t.mapping(n, path,
		field{"host", "a name in lower-case ASCII or an IP address", "api.example.com", text(&a.Host, isHost)},
		field{"ports", "a list of ports", "[443]", func(n ast.Node, path string) bool {
			return t.list(n, path, func(n ast.Node, path string) {
				port := 0
				if !whole(&port, 1, 65535)(n, path) {
					t.wrong(n, path, "a port from 1 to 65535", "443")
				}
				a.Ports = append(a.Ports, port)
			})
		}},
		field{"methods", "a list of methods", "[GET]", t.texts(&a.Methods, isMethod, "one of "+strings.Join(methods, ", "), "GET")},
		field{"networks", "a list of networks", "[10.231.0.0/16]", func(n ast.Node, path string) bool {
			return t.list(n, path, func(n ast.Node, path string) {
				var s string
				if !text(&s, isNetwork)(n, path) {
					t.wrong(n, path, "a network in CIDR form", "10.231.0.0/16")
					return
				}
				a.Networks = append(a.Networks, netip.MustParsePrefix(s))
			})
		}})
	if given != nil && given["host"] == nil {
		t.missing(n, join(path, "host"), "a name or an IP address", "host: api.example.com")
	}
}

func isNetwork(s string) bool {
	p, err := netip.ParsePrefix(s)
	return err == nil && p == p.Masked()
}
