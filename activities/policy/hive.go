package policy

import (
	"encoding/json"
	"net/netip"
	"os"
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

// extensions reads x-hive wherever it stands, and says where in the file.
type extensions struct {
	tree     ast.Node
	anchors  map[string]ast.Node
	mistakes []mistake
}

func newExtensions(raw []byte) *extensions {
	e := &extensions{anchors: map[string]ast.Node{}}
	if root, bad := parse(ComposeFile, raw); bad == nil {
		e.tree, e.anchors = root, anchorsOf(root)
	}
	return e
}

func readExtensions(file string) (*extensions, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, classify(err, ComposeFile, "the stack is described there")
	}
	return newExtensions(raw), nil
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
// mistakes are then looked up in the file as it was written.
func (e *extensions) read(owner []string, value any, rules map[string]rule, into any) {
	prefix := strings.Join(owner, ".") + "." + extension
	if value == nil {
		e.mistakes = append(e.mistakes, mistake{ComposeFile, e.find(owner), prefix, "missing", "a mapping that says at least its role", "x-hive: {role: app}"})
		return
	}
	text, err := yaml.Marshal(value)
	if err != nil {
		e.mistakes = append(e.mistakes, mistake{ComposeFile, e.find(owner), prefix, err.Error(), "a mapping of fields", ""})
		return
	}
	root, bad := parse(ComposeFile, text)
	if bad != nil {
		e.mistakes = append(e.mistakes, mistake{ComposeFile, e.find(owner), prefix, bad.found, "a mapping of fields", ""})
		return
	}
	d := &decoder{file: ComposeFile, rules: rules, at: positions{}}
	d.decode(root, into)
	for _, m := range d.mistakes {
		m.at = e.find(append(append([]string{}, owner...), extension, m.path))
		m.path = strings.TrimSuffix(join(prefix, m.path), ".")
		e.mistakes = append(e.mistakes, m)
	}
}

// find answers where a path stands in the file as written, through aliases and
// merges; the nearest parent where the rest came from elsewhere.
func (e *extensions) find(path []string) position {
	steps := strings.Split(strings.Join(path, "."), ".")
	at := position{}
	n := e.tree
	for _, name := range steps {
		key, value := e.child(n, name)
		if key == nil {
			break
		}
		at, n = positionOf(key), value
	}
	return at
}

func (e *extensions) child(n ast.Node, name string) (key, value ast.Node) {
	d := decoder{anchors: e.anchors}
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
			if key, value := e.child(p.Value, name); key != nil {
				return key, value
			}
		}
	}
	return nil, nil
}
