package policy

import (
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/leanvibe/hive/workflows/runbook"
)

// extension is the name of what an operator adds to a service or a network.
const extension = "x-hive"

// hiveService is x-hive of a service.
type hiveService struct {
	Role       runbook.Role     `json:"role"`
	Order      int              `json:"order"`
	Probe      *runbook.Probe   `json:"probe"`
	MinHealthy runbook.Duration `json:"minHealthy"`
	Drain      runbook.Duration `json:"drain"`
	Proxy      *hiveProxy       `json:"proxy"`
	Supply     *runbook.Supply  `json:"supply"`
	// Control is the queue on which its replicas answer steps about themselves.
	Control string `json:"control"`
	// Once: it runs to its end and is not expected to stay.
	Once bool `json:"once"`
	// Backup is hot, drain or pause.
	Backup string `json:"backup"`
}

// hiveProxy says how the proxy reaches a service.
type hiveProxy struct {
	Upstream string `json:"upstream"`
	Health   string `json:"health"`
}

// hiveNetwork is x-hive of a network.
type hiveNetwork struct {
	// Replicas is the range that app replicas get fixed addresses from.
	Replicas string `json:"replicas"`
}

var hiveRules = map[string]rule{
	"role":           {want: "one of app, worker, store, proxy, monitoring", example: "app", required: true, ok: isRole},
	"order":          {want: "a whole number of at least 0; lower is rolled first", example: "10", ok: func(v any) bool { return v.(int) >= 0 }},
	"probe":          section.like("{http: /readyz, port: 8081}"),
	"probe.http":     {want: "a path that begins with a slash", example: "/readyz", ok: matches(`^/`)},
	"probe.port":     portNumber.like("8081").must(),
	"min_healthy":    positive.like("2s"),
	"drain":          positive.like("30s"),
	"proxy":          section.like("{upstream: universal-orchestrator, health: /health/universal-orchestrator}"),
	"proxy.upstream": {want: "the name of an address file of the proxy", example: "universal-orchestrator", required: true, ok: matches(`^[a-zA-Z0-9][a-zA-Z0-9_-]*$`)},
	"proxy.health":   {want: "a path that begins with a slash", example: "/health", ok: matches(`^/`)},
	"supply":         section.like(`{path: /v1/tasks, post: '{"queue":"probe","handler":"echo"}'}`),
	"supply.path":    {want: "a path that begins with a slash", example: "/v1/tasks", required: true, ok: matches(`^/`)},
	"supply.post":    {want: "a JSON object to POST there", example: `'{"queue":"probe","handler":"echo"}'`, required: true, ok: isObject},
	"control":        {want: "assignment, the queue of universal-orchestrator's control steps", example: runbook.ControlAssignment, ok: func(v any) bool { return v == runbook.ControlAssignment }},
	"once":           {want: "true for a service that runs to its end, such as a migration", example: "true"},
	"backup":         {want: "one of hot, drain, pause", example: "hot", ok: matches(`^(hot|drain|pause)$`)},
}

var networkRules = map[string]rule{
	"replicas": {want: "a range of addresses in CIDR form", example: "10.231.16.0/20", required: true, ok: func(v any) bool {
		_, err := netip.ParsePrefix(v.(string))
		return err == nil
	}},
}

func isObject(v any) bool {
	var fields map[string]any
	return json.Unmarshal([]byte(v.(string)), &fields) == nil
}

func isRole(v any) bool {
	switch v.(runbook.Role) {
	case runbook.RoleApp, runbook.RoleWorker, runbook.RoleStore, runbook.RoleProxy, runbook.RoleMonitoring:
		return true
	default:
		return false
	}
}

// written is a compose file as its author wrote it.
type written struct {
	name string
	tree ast.Node
	// anchors are the file's own: an alias never leaves its file.
	anchors map[string]ast.Node
}

// extensions reads x-hive wherever it stands, and says where in which file.
type extensions struct {
	// files are in the order in which they are merged, so the last one that has a
	// field has the last word on it.
	files    []written
	mistakes []mistake
}

func newExtensions(texts []composeText) *extensions {
	e := &extensions{}
	for _, t := range texts {
		w := written{name: t.name, anchors: map[string]ast.Node{}}
		if root, bad := parse(t.name, t.raw); bad == nil {
			w.tree, w.anchors = root, anchorsOf(root)
		}
		e.files = append(e.files, w)
	}
	return e
}

// mistake notes what is wrong with a path of the merged files.
func (e *extensions) mistake(where []string, path, found, want, example string) {
	file, at := e.find(where)
	e.mistakes = append(e.mistakes, mistake{file, at, path, found, want, example})
}

func (e *extensions) service(name string, given map[string]any) hiveService {
	out := hiveService{MinHealthy: runbook.Duration(5 * time.Second), Drain: runbook.Duration(30 * time.Second)}
	e.read([]string{"services", name}, given[extension], hiveRules, &out)
	return out
}

func (e *extensions) network(name string, given map[string]any) hiveNetwork {
	var out hiveNetwork
	if value, ok := given[extension]; ok {
		e.read([]string{"networks", name}, value, networkRules, &out)
	}
	return out
}

// read decodes a value that compose-go has already merged and interpolated; its
// mistakes are then looked up in the files as they were written.
func (e *extensions) read(owner []string, value any, rules map[string]rule, into any) {
	prefix := strings.Join(owner, ".") + "." + extension
	if value == nil {
		e.mistake(owner, prefix, "missing", "a mapping that says at least its role", "x-hive: {role: app}")
		return
	}
	text, err := yaml.Marshal(value)
	if err != nil {
		e.mistake(owner, prefix, err.Error(), "a mapping of fields", "")
		return
	}
	root, bad := parse(extension, text)
	if bad != nil {
		e.mistake(owner, prefix, bad.found, "a mapping of fields", "")
		return
	}
	d := &decoder{file: extension, rules: rules, at: positions{}}
	d.decode(root, into)
	for _, m := range d.mistakes {
		where := append(append([]string{}, owner...), extension, m.path)
		e.mistake(where, strings.TrimSuffix(join(prefix, m.path), "."), m.found, m.want, m.example)
	}
}

// find answers in which file a path stands and where, as it was written, through
// aliases and merges; the nearest parent where the rest came from elsewhere.
func (e *extensions) find(path []string) (file string, at position) {
	steps := strings.Split(strings.Join(path, "."), ".")
	deepest := -1
	for _, w := range e.files {
		here, deep := w.find(steps)
		if deep > deepest || deep == deepest && deep > 0 {
			file, at, deepest = w.name, here, deep
		}
	}
	return file, at
}

// find answers where the path stands in this file, and how many of its steps do.
func (w written) find(steps []string) (at position, deep int) {
	n := w.tree
	for _, name := range steps {
		key, value := w.child(n, name)
		if key == nil {
			break
		}
		at, n = positionOf(key), value
		deep++
	}
	return at, deep
}

func (w written) child(n ast.Node, name string) (key, value ast.Node) {
	d := decoder{anchors: w.anchors}
	if n == nil {
		return nil, nil
	}
	pairs, _ := pairsOf(d.resolve(n))
	for _, p := range pairs {
		if p.Key.GetToken().Value == name {
			return p.Key, p.Value
		}
	}
	for _, p := range pairs {
		if p.Key.IsMergeKey() {
			if key, value := w.child(p.Value, name); key != nil {
				return key, value
			}
		}
	}
	return nil, nil
}
