package policy

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

const baseline = `baselines:
  - {metric: M, query: up, unit: ms, better: lower, excellent: 1, good: 2, warning: 3, critical: 4}
`

func TestMistakesInTheRunbook(t *testing.T) {
	const at = "deploy/production/runbook.yaml:"
	for name, c := range map[string]struct{ yaml, want string }{
		"unknown field":          {shortRunbook + "databse: {}\n", at + "5:1: databse: unknown field: expected one of timezone, environment, proxy, rolling, database, cache, logs, metrics, baselines, readiness, notify, schedules"},
		"unknown nested field":   {shortRunbook + "rolling: {moniter: 25s}\n", at + "5:11: rolling.moniter: unknown field: expected one of monitor, min_requests, max_error_ratio, max_latency_factor, latency_floor, healthy_deadline, lock_wait, side_by_side, max_replicas"},
		"computed field":         {shortRunbook + "hash: sha256:0\n", at + "5:1: hash: unknown field"},
		"duration without unit":  {shortRunbook + "rolling:\n  monitor: 25\n", at + `6:12: rolling.monitor: got 25: expected a duration above 0, for example 25s`},
		"bad duration":           {shortRunbook + "logs: {compress_after: 7d}\n", at + `5:24: logs.compress_after: got "7d": expected a duration above 0, for example 168h`},
		"negative duration":      {shortRunbook + "proxy_: 1\nrolling: {lock_wait: -1s}\n", at + `6:22: rolling.lock_wait: got "-1s": expected a duration above 0, for example 10m`},
		"bad zone":               {shortRunbook + "timezone: Amerika/Berlin\n", at + `5:11: timezone: got "Amerika/Berlin": expected a zone of the IANA database, for example America/Los_Angeles`},
		"machine's own zone":     {shortRunbook + "timezone: Local\n", at + `5:11: timezone: got "Local": expected a zone of the IANA database`},
		"bad name":               {shortRunbook + "environment: Production One\n", at + `5:14: environment: got "Production One": expected a short name of lower-case letters, digits and dashes, for example production`},
		"text for a number":      {shortRunbook + "rolling: {min_requests: fifty}\n", at + `5:25: rolling.min_requests: got "fifty": expected a whole number of at least 1, for example 50`},
		"quoted number":          {shortRunbook + "rolling: {min_requests: \"50\"}\n", at + `5:25: rolling.min_requests: got "50": expected a whole number of at least 1, for example 50`},
		"fraction":               {shortRunbook + "rolling: {side_by_side: 1.5}\n", at + `5:25: rolling.side_by_side: got 1.5: expected a whole number of at least 1, for example 3`},
		"number out of range":    {shortRunbook + "rolling: {max_error_ratio: 2}\n", at + `5:28: rolling.max_error_ratio: got 2: expected a share from 0 to 1, for example 0.01`},
		"number for text":        {shortRunbook + "environment: 5\n", at + "5:14: environment: got 5: expected a short name"},
		"mapping for text":       {shortRunbook + "environment: {a: 1}\n", at + "5:14: environment: got a mapping: expected a short name"},
		"text for a list":        {shortRunbook + "readiness: {proxy_paths: /health}\n", at + `5:26: readiness.proxy_paths: got "/health": expected a list of paths, for example [/health]`},
		"path in a list":         {shortRunbook + "readiness: {proxy_paths: [health]}\n", at + `5:27: readiness.proxy_paths[0]: got "health": expected a path that begins with a slash, for example /health`},
		"text for a section":     {shortRunbook + "logs: logs\n", at + `5:7: logs: got "logs": expected a mapping of fields`},
		"nothing":                {shortRunbook + "logs:\n", at + "5:7: logs: got nothing: expected a mapping of fields"},
		"a list for a section":   {shortRunbook + "logs: [a]\n", at + "5:7: logs: got a list: expected a mapping of fields"},
		"bad URL":                {strings.Replace(shortRunbook, "http://127.0.0.1:8080", "127.0.0.1:8080", 1), at + `1:30: proxy.url: got "127.0.0.1:8080": expected an http:// or https:// URL without a path's end slash, for example http://127.0.0.1:8080`},
		"path outside":           {shortRunbook + "logs: {directory: /var/log}\n", at + `5:19: logs.directory: got "/var/log": expected a path inside the project, relative to its root, for example logs`},
		"path upwards":           {shortRunbook + "notify: {file: out/../../x}\n", at + `5:16: notify.file: got "out/../../x": expected a path inside the project`},
		"port":                   {strings.Replace(shortRunbook, "user: leanvibe", "user: leanvibe, port: 70000", 1), at + `2:88: database.port: got 70000: expected a port from 1 to 65535, for example 5432`},
		"size":                   {strings.Replace(shortRunbook, "user: leanvibe", "user: leanvibe, min_index_bytes: 1 Mebi", 1), at + `2:99: database.min_index_bytes: got "1 Mebi": expected a size of at least 0 bytes, for example 1MiB`},
		"density":                {strings.Replace(shortRunbook, "user: leanvibe", "user: leanvibe, min_leaf_density: 95", 1), at + `2:100: database.min_leaf_density: got 95: expected a percentage from 0 to 90`},
		"empty section":          {shortRunbook + "readiness:\n", at + "5:12: readiness: got nothing: expected a mapping of fields"},
		"section of nobody":      {strings.Replace(shortRunbook, "prometheus: \"http://127.0.0.1:9090\", alertmanager: \"http://127.0.0.1:9093\"", "", 1), at + "4:10: metrics: names neither Prometheus nor Alertmanager: expected at least one of prometheus and alertmanager, or no metrics section"},
		"half a section":         {strings.Replace(shortRunbook, "services: [redis-node1]", "port: 6379", 1), at + "3:8: cache.services: missing: expected a list of at least one service"},
		"baselines of nobody":    {strings.Replace(shortRunbook, "metrics", "# metrics", 1) + baseline, at + "6:3: baselines: nobody to ask: metrics.prometheus is missing: expected metrics.prometheus beside baselines"},
		"paths of nobody":        {strings.Replace(shortRunbook, "proxy", "# proxy", 1) + "readiness: {proxy_paths: [/health]}\n", at + "5:26: readiness.proxy_paths: nobody to ask: there is no proxy section: expected a proxy section beside proxy_paths"},
		"cluster":                {strings.Replace(shortRunbook, "[redis-node1]", "[redis-node1], cluster: maybe", 1), at + `3:43: cache.cluster: got "maybe": expected true for a Redis Cluster, false where each service is a Redis by itself, for example false`},
		"no password is no path": {strings.Replace(shortRunbook, "[redis-node1]", "[redis-node1], password_file: /etc/x", 1), at + `3:49: cache.password_file: got "/etc/x": expected a path inside the project, relative to its root, or "" for none`},
		"missing field":          {strings.Replace(shortRunbook, "service: nginx, ", "", 1), at + "1:8: proxy.service: missing: expected the name of a service of the compose file, for example service: nginx"},
		"empty list":             {strings.Replace(shortRunbook, "[redis-node1]", "[]", 1), at + "3:19: cache.services: got a list: expected a list of at least one service"},
		"bool":                   {shortRunbook + strings.Replace(baseline, "metric: M", "metric: M, required: yes please", 1), at + `6:27: baselines[0].required: got "yes please": expected true or false, for example true`},
		"better":                 {shortRunbook + strings.Replace(baseline, "lower", "smaller", 1), at + `6:46: baselines[0].better: got "smaller": expected lower or higher, for example lower`},
		"band missing":           {shortRunbook + strings.Replace(baseline, ", critical: 4", "", 1), at + "6:5: baselines[0].critical: missing: expected a number"},
		"bands out of order":     {shortRunbook + strings.Replace(baseline, "good: 2", "good: 5", 1), at + "6:64: baselines[0].excellent: bands 1, 5, 3, 4 with lower better: expected excellent, good, warning and critical in order from better to worse"},
		"metric twice":           {shortRunbook + baseline + strings.TrimPrefix(baseline, "baselines:\n"), at + "7:14: baselines[1].metric: M a second time: expected each metric once"},
		"retention":              {shortRunbook + "logs: {compress_after: 48h, delete_after: 24h}\n", at + "5:43: logs.delete_after: 24h0m0s: expected more than compress_after, 48h0m0s"},
		"no service":             {strings.Replace(shortRunbook, "redis-node1", "redis-node7", 1), at + "3:20: cache.services[0]: no service redis-node7 in deploy/production/docker-compose.production.yml: expected one of postgres-primary, redis-node1"},
		"service of other role":  {strings.Replace(shortRunbook, "service: nginx", "service: web", 1), at + "1:18: proxy.service: service web has role app in deploy/production/docker-compose.production.yml: expected a service of role proxy"},
		"not YAML":               {"a: [\n", at + "1:4: not YAML: "},
		"tab":                    {"proxy:\n\tservice: nginx\n", at + "2:1: not YAML: "},
		"field twice":            {shortRunbook + "timezone: UTC\ntimezone: UTC\n", at + "6:1: not YAML: mapping key \"timezone\" already defined"},
		"two documents":          {shortRunbook + "---\n{}\n", at + "1:1: holds 2 documents or an empty one: expected one document of fields"},
		"alias to nothing":       {shortRunbook + "environment: *nobody\n", at + "5:14: environment: got an alias to no anchor: expected a short name"},
		"alias to itself":        {shortRunbook + "environment: &a *a\n", at + "5:17: not YAML: "},
		"only a comment":         {"# nothing\n", at + "1:1: holds 1 documents or an empty one: expected one document of fields"},
	} {
		t.Run(name, func(t *testing.T) {
			h := project(t, c.yaml, smallCompose)
			_, err := h.Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
			require.Equal(t, runbook.Refused, runbook.KindOf(err), "%v", err)
			require.Contains(t, runbook.Reason(err), c.want)
			require.NoDirExists(t, filepath.Join(h.ProjectDir, "out"), "nothing half-done")
		})
	}
}

func TestAllMistakesAreTold(t *testing.T) {
	_, err := project(t, shortRunbook+"timezone: Nowhere\nlogs: {directory: /}\n", "").Policy()
	require.ErrorContains(t, err, "5:11: timezone")
	require.ErrorContains(t, err, "6:19: logs.directory")
}

func TestMissingFiles(t *testing.T) {
	_, err := project(t, "", smallCompose).Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
	require.ErrorContains(t, err, "deploy/production/runbook.yaml does not exist; ")
	_, err = project(t, shortRunbook, "").Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
	require.ErrorContains(t, err, "deploy/production/docker-compose.production.yml does not exist; ")
}

func TestMistakesInTheComposeFile(t *testing.T) {
	const at = "deploy/production/docker-compose.production.yml:"
	for name, c := range map[string]struct{ old, new, want string }{
		"no x-hive":          {", x-hive: *store}\nnetworks", "}\nnetworks", at + "17:3: services.redis-node1.x-hive: missing: expected a mapping that says at least its role, for example x-hive: {role: app}"},
		"no role":            {"role: app\n", "order: 1\n", at + "11:5: services.web.x-hive.role: missing: expected one of app, worker, store, proxy, monitoring, for example role: app"},
		"unknown role":       {"role: app\n", "role: application\n", at + `12:7: services.web.x-hive.role: got "application": expected one of app, worker, store, proxy, monitoring, for example app`},
		"unknown field":      {"role: app\n", "role: app\n      drian: 30s\n", at + "13:7: services.web.x-hive.drian: unknown field: expected one of role, order, probe, min_healthy, drain, proxy, supply, control, once, backup"},
		"bad duration":       {"role: app\n", "role: app\n      drain: 30\n", at + "13:7: services.web.x-hive.drain: got 30: expected a duration above 0, for example 30s"},
		"bad port":           {"port: 80}", "port: none}", at + `13:29: services.web.x-hive.probe.port: got "none": expected a port from 1 to 65535, for example 8081`},
		"no port":            {", port: 80}", "}", at + "13:7: services.web.x-hive.probe.port: missing: expected a port from 1 to 65535, for example port: 8081"},
		"bad path":           {"/ready", "ready", at + `13:15: services.web.x-hive.probe.http: got "ready": expected a path that begins with a slash`},
		"no supply body":     {"role: app\n", "role: app\n      supply: {path: /v1/tasks}\n", at + `13:7: services.web.x-hive.supply.post: missing: expected a JSON object to POST there`},
		"once is a word":     {"role: app\n", "role: app\n      once: always\n", at + `13:7: services.web.x-hive.once: got "always": expected true for a service that runs to its end`},
		"bad backup":         {"backup: hot", "backup: warm", at + `16:86: services.postgres-primary.x-hive.backup: got "warm": expected one of hot, drain, pause`},
		"x-hive is a word":   {"{role: proxy}", "proxy", at + "15:70: services.nginx.x-hive: got \"proxy\": expected a mapping of fields"},
		"x-hive at the top":  {"name: small\n", "name: small\nx-hive: {role: app}\n", at + "2:1: x-hive: stands at the top: expected it under a service or a network"},
		"range outside":      {"networks:\n  hive:\n", "networks:\n  hive:\n    x-hive: {replicas: 10.8.0.0/20}\n", at + "20:14: networks.hive.x-hive.replicas: 10.8.0.0/20: not inside the subnet 10.9.0.0/16"},
		"range given out":    {"networks:\n  hive:\n", "networks:\n  hive:\n    x-hive: {replicas: 10.9.192.0/20}\n", "the engine gives addresses out of 10.9.128.0/17"},
		"range with gateway": {"networks:\n  hive:\n", "networks:\n  hive:\n    x-hive: {replicas: 10.9.0.0/24}\n", "the gateway 10.9.0.1 lies in it"},
		"range with service": {"networks:\n  hive:\n", "networks:\n  hive:\n    x-hive: {replicas: 10.9.0.8/29}\n", "service nginx has the address 10.9.0.10 in it"},
		"range malformed":    {"networks:\n  hive:\n", "networks:\n  hive:\n    x-hive: {replicas: 10.9.0.8}\n", `networks.hive.x-hive.replicas: got "10.9.0.8": expected a range of addresses in CIDR form, for example 10.231.16.0/20`},
		"no subnet":          {"ipam: {config: [{subnet: 10.9.0.0/16, ip_range: 10.9.128.0/17, gateway: 10.9.0.1}]}", "x-hive: {replicas: 10.9.16.0/20}", "the network has no subnet of its own"},
		"no ip_range":        {"ip_range: 10.9.128.0/17, gateway: 10.9.0.1}]}", "gateway: 10.9.0.1}]}\n    x-hive: {replicas: 10.9.16.0/20}", "10.9.0.0/16 (no ip_range is set)"},
		"not Compose":        {"deploy: {replicas: 2}", "deploy: {replicas: two}", "deploy/production/docker-compose.production.yml: docker compose would refuse it: "},
		"unknown property":   {"deploy: {replicas: 2}", "deply: {replicas: 2}", "services.web.deply: unknown field"},
		"unknown network":    {"networks: [hive]\n    deploy", "networks: [hove]\n    deploy", "undefined network hove"},
		"bad variable":       {"${WEB_IMAGE:-example/web:1}", "${WEB_IMAGE:?say which image}", "say which image"},
		"not YAML":           {"command: [", "command: [[", at + "9:"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, smallCompose, c.old)
			h := project(t, shortRunbook, strings.Replace(smallCompose, c.old, c.new, 1))
			_, err := h.Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
			require.Equal(t, runbook.Refused, runbook.KindOf(err), "%v", err)
			require.Contains(t, runbook.Reason(err), c.want)
			require.NoDirExists(t, filepath.Join(h.ProjectDir, "out"), "nothing half-done")
		})
	}
}

func TestBars(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"container_name": {"deploy: {replicas: 2}", "container_name: web", "container_name web: two replicas cannot share a name; remove the line"},
		"host port":      {"deploy: {replicas: 2}", "deploy: {replicas: 2}\n    ports: [\"8080:80\"]", "host port 8080: two replicas cannot share a port; remove it and let the proxy route to 80"},
		"one replica":    {"replicas: 2", "replicas: 1", "1 replica: one that fails has no other beside it; set deploy.replicas to 2"},
		"no upstream":    {"proxy: {upstream: web}", "order: 1", "no x-hive.proxy.upstream: the proxy has no address file to move its traffic with"},
		"no proxy":       {"x-hive: {role: proxy}", "x-hive: {role: monitoring}", "no proxy in the policy: its users are connected to this very container, and nothing moves them to another; put an nginx before it and name that as proxy.service"},
		"no probe":       {"probe: {http: /ready, port: 80}", "order: 1", "no x-hive.probe: nothing tells a healthy replica from a broken one; add {http: /readyz, port: …}"},
		"untranslated":   {"deploy: {replicas: 2}", "deploy: {replicas: 2}\n    privileged: true", "privileged: replicas made by hive would lose it; remove it, or leave the service to docker compose"},
	} {
		t.Run(name, func(t *testing.T) {
			policy := shortRunbook
			if name == "no proxy" {
				policy = strings.Replace(policy, "proxy", "# proxy", 1)
			}
			h := project(t, policy, strings.Replace(smallCompose, c.old, c.new, 1))
			out, err := h.Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
			require.NoError(t, err)
			web, _ := out.Stack.Service("web")
			require.Contains(t, web.Bars, c.want)
			nginx, _ := out.Stack.Service("nginx")
			require.Empty(t, nginx.Bars, "what is never rolled is never barred from it")
		})
	}
}

func TestFullDiskIsRefusedWithNothingHalfDone(t *testing.T) {
	h := project(t, shortRunbook, smallCompose)
	require.NoError(t, os.Mkdir(filepath.Join(h.ProjectDir, "out"), 0o700))
	unmount, err := smallDisk(filepath.Join(h.ProjectDir, "out"), "size=4k,nr_inodes=64")
	if err != nil {
		t.Skipf("this machine does not let a test mount a small disk: %v", err)
	}
	defer unmount()
	require.NoError(t, os.WriteFile(filepath.Join(h.ProjectDir, "out", "full"), make([]byte, 4096), 0o600))
	_, err = h.Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
	require.Equal(t, runbook.Refused, runbook.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "is full: free some space")
	left, err := filepath.Glob(filepath.Join(h.ProjectDir, RunsDir, "*", "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// Every field of the policy has a rule, so that a new one cannot be read unchecked.
func TestEveryFieldHasARule(t *testing.T) {
	for _, c := range []struct {
		of    reflect.Type
		rules map[string]rule
	}{
		{reflect.TypeFor[runbook.Policy](), runbookRules},
		{reflect.TypeFor[hiveService](), hiveRules},
		{reflect.TypeFor[hiveNetwork](), networkRules},
	} {
		for _, path := range leaves(c.of, "") {
			if path == "hash" {
				continue
			}
			require.Contains(t, c.rules, path)
			require.NotEmpty(t, c.rules[path].want, path)
		}
	}
}

func leaves(t reflect.Type, path string) []string {
	switch {
	case t.Kind() == reflect.Pointer:
		return leaves(t.Elem(), path)
	case t.Kind() == reflect.Slice:
		return append([]string{path}, leaves(t.Elem(), path+"[]")...)
	case t.Kind() == reflect.Struct:
		var out []string
		for name, i := range fieldsOf(t) {
			out = append(out, leaves(t.Field(i).Type, join(path, name))...)
		}
		return out
	default:
		return []string{path}
	}
}
