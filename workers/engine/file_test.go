package engine

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestFile_Whole(t *testing.T) {
	cfg, err := readFile(write(t, `
streams: http://nginx:8084
hub: http://hub:8082
grace: 5s
agents:
  - name: digest
    count: 3
    capacity: 8
    capabilities: [hash, big]
    labels: {zone: a}
    handlers: [echo, hash, mine]
    hash: {algorithm: sha512}
    progress: &reports {to: "topic:task-{task}", every: 250ms}
  - name: fetch
    handlers: [http, sleep]
    progress: *reports
    sleep: {default: 2s, max: 1m}
    http:
      timeout: 3s
      max_response_bytes: 1000
      allow:
        - host: api.example.com
        - {host: 10.231.0.10, ports: [80, 8080], methods: [GET, POST], networks: [10.231.0.0/16]}
`), map[string]Handler{"mine": HandlerFunc(echo)})
	require.NoError(t, err)
	progress := ProgressOptions{To: "topic:task-{task}", Every: 250 * time.Millisecond}
	require.Equal(t, Config{
		Streams: "http://nginx:8084", Hub: "http://hub:8082", Grace: 5 * time.Second,
		Agents: []Agents{
			{
				Name: "digest", Count: 3, Capacity: 8, Capabilities: []string{"hash", "big"}, Labels: map[string]string{"zone": "a"},
				Handlers: []string{"echo", "hash", "mine"}, Hash: HashOptions{"sha512"}, Progress: progress,
			},
			{
				Name: "fetch", Handlers: []string{"http", "sleep"}, Sleep: SleepOptions{2 * time.Second, time.Minute}, Progress: progress,
				HTTP: HTTPOptions{Timeout: 3 * time.Second, MaxResponseBytes: 1000, Allow: []Allowed{
					{Host: "api.example.com"},
					{
						Host: "10.231.0.10", Ports: []int{80, 8080}, Methods: []string{"GET", "POST"},
						Networks: []netip.Prefix{netip.MustParsePrefix("10.231.0.0/16")},
					},
				}},
			},
		},
	}, cfg)
}

func TestFile_Mistakes(t *testing.T) {
	const group = "agents:\n  - handlers: [hash]\n"
	const fetch = "agents:\n  - handlers: [http]\n    http:\n"
	for name, c := range map[string]struct{ yaml, want string }{
		"unknown field":       {group + "agent: 1\n", "3:1: agent: unknown field: expected one of orchestrator, streams, hub, grace, agents"},
		"unknown in group":    {group + "    capasity: 3\n", "3:5: agents[0].capasity: unknown field: expected one of name, count, capacity, "},
		"unknown in allow":    {fetch + "      allow: [{hosts: a}]\n", "4:16: agents[0].http.allow[0].hosts: unknown field: expected one of host, ports, methods, networks"},
		"no host":             {fetch + "      allow: [{ports: [80]}]\n", "agents[0].http.allow[0].host: missing: expected a name or an IP address, for example host: api.example.com"},
		"no agents":           {"grace: 1s\n", "1:1: agents: missing: expected a list of groups, for example agents: [{name: hasher, handlers: [hash]}]"},
		"empty list":          {"agents: []\n", "1:9: agents: got a list: expected a list of groups, for example"},
		"no handlers":         {"agents:\n  - name: a\n", "2:5: agents[0].handlers: missing: expected a list of handlers, for example handlers: [hash]"},
		"handler":             {"agents:\n  - handlers: [hash, mine]\n", `2:22: agents[0].handlers[1]: got "mine": expected one of echo, hash, sleep, http, for example hash`},
		"count":               {group + "    count: 0\n", "3:12: agents[0].count: got 0: expected a whole number from 1 to 1000, for example 4"},
		"quoted number":       {group + "    capacity: \"4\"\n", `3:15: agents[0].capacity: got "4": expected a whole number from 1 to 1000, for example 4`},
		"capability":          {group + "    capabilities: [Big]\n", `3:20: agents[0].capabilities[0]: got "Big": expected 1 to 64 of a-z`},
		"label":               {group + "    labels: {a: 1}\n", `3:17: agents[0].labels.a: got 1: expected a key of at most 64 and a text of at most 256 bytes, for example "a"`},
		"algorithm":           {group + "    hash: {algorithm: md5}\n", `3:23: agents[0].hash.algorithm: got "md5": expected sha256, sha384, sha512 or sha3-256, for example sha256`},
		"options of no one":   {group + "    sleep: {max: 1s}\n", "agents[0].sleep: options of a handler that this group does not have: expected sleep in handlers, for example handlers: [sleep]"},
		"default above max":   {"agents:\n  - handlers: [sleep]\n    sleep: {default: 2s, max: 1s}\n", `3:22: agents[0].sleep.default: got "2s": expected a duration up to max, 1s, for example 1s`},
		"duration":            {group + "grace: 20\n", "3:8: grace: got 20: expected a duration from 1ms to 1h0m0s, for example 20s"},
		"no allow list":       {"agents:\n  - handlers: [http]\n", "2:5: agents[0].http: missing: expected what the handler http may call, for example http: {allow: [{host: api.example.com}]}"},
		"empty allow list":    {fetch + "      timeout: 1s\n", "4:7: agents[0].http.allow: missing: expected a list of hosts, for example allow: [{host: api.example.com}]"},
		"host with a port":    {fetch + "      allow: [{host: \"a:80\"}]\n", `4:22: agents[0].http.allow[0].host: got "a:80": expected a name in lower-case ASCII or an IP address, for example api.example.com`},
		"any host":            {fetch + "      allow: [{host: \"*\"}]\n", `4:22: agents[0].http.allow[0].host: got "*"`},
		"port":                {fetch + "      allow: [{host: a, ports: [0]}]\n", "4:33: agents[0].http.allow[0].ports[0]: got 0: expected a port from 1 to 65535, for example 443"},
		"method":              {fetch + "      allow: [{host: a, methods: [CONNECT]}]\n", `4:35: agents[0].http.allow[0].methods[0]: got "CONNECT": expected one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, for example GET`},
		"network":             {fetch + "      allow: [{host: a, networks: [10.0.0.1/8]}]\n", `4:36: agents[0].http.allow[0].networks[0]: got "10.0.0.1/8": expected a network in CIDR form, for example 10.231.0.0/16`},
		"response":            {fetch + "      max_response_bytes: 1000000\n      allow: [{host: a}]\n", "4:27: agents[0].http.max_response_bytes: got 1000000: expected a whole number from 1 to 163840, for example 65536"},
		"address":             {"hub: http://h\n" + group + "    progress: {to: \"{sender}\"}\n", `4:20: agents[0].progress.to: got "{sender}": expected an agent's id or topic:NAME, in which {task}, {queue}, {handler} and {agent} are filled in, for example topic:task-{task}`},
		"progress too often":  {"hub: http://h\n" + group + "    progress: {to: a, every: 1ms}\n", `4:30: agents[0].progress.every: got "1ms": expected a duration from 100ms to 1h0m0s, for example 1s`},
		"progress to no one":  {"hub: http://h\n" + group + "    progress: {every: 1s}\n", "agents[0].progress.to: missing: expected an agent's id"},
		"progress, no hub":    {group + "    progress: {to: a}\n", "agents[0].progress: reports go through the hub, which the file does not name: expected its URL as hub, for example hub: http://nginx"},
		"URL":                 {"hub: nginx\n" + group, `1:6: hub: got "nginx": expected an http:// or https:// URL, for example http://nginx`},
		"URL of streams":      {"streams: nginx\n" + group, `1:10: streams: got "nginx": expected an http:// or https:// URL, for example http://nginx:8084`},
		"same name":           {"agents:\n  - {name: a, handlers: [hash]}\n  - {name: a, handlers: [echo]}\n", `agents[1]: the name "a" is taken by another group: expected a name for each, for example hasher`},
		"too many":            {"agents:\n  - {name: a, count: 600, handlers: [hash]}\n  - {name: b, count: 600, handlers: [echo]}\n", "agents[1]: 1200 agents with those before: expected at most 1000 in one engine"},
		"group is a text":     {"agents: [hash]\n", `1:10: agents[0]: got "hash": expected a mapping of fields`},
		"section is nothing":  {group + "    hash:\n", "agents[0].hash: got nothing: expected a mapping of fields"},
		"alias to nothing":    {group + "    hash: *none\n", "agents[0].hash: "},
		"field twice":         {group + "grace: 1s\ngrace: 2s\n", `not YAML: mapping key "grace" already defined`},
		"not YAML":            {"agents: [\n", "not YAML: "},
		"two documents":       {group + "---\n" + group, "1:1: 2 documents or an empty one: expected one document of fields"},
		"nothing in the file": {"", "1:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, c.yaml)
			_, err := readFile(file, nil)
			require.Error(t, err)
			require.Contains(t, err.Error(), file+":")
			require.Contains(t, err.Error(), c.want)
		})
	}
}

// The page's example is read by the code that it describes.
func TestFile_ThePagesExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/specialized-engines.md")
	require.NoError(t, err)
	_, text, found := strings.Cut(string(page), "```yaml\n")
	require.True(t, found)
	text, _, _ = strings.Cut(text, "```")
	cfg, err := readFile(write(t, text), nil)
	require.NoError(t, err)
	require.Len(t, cfg.Agents, 2)
	_, err = New(cfg)
	require.NoError(t, err)
}

func TestFile_AllMistakesAtOnce(t *testing.T) {
	_, err := readFile(write(t, "agents:\n  - handlers: [hash]\n    count: 0\ngrace: 1\nx: 1\n"), nil)
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 3)
	require.Contains(t, lines[0], ":3:12: agents[0].count")
	require.Contains(t, lines[2], ":5:1: x: unknown field")
}

func TestConfigFromEnv(t *testing.T) {
	file := write(t, "orchestrator: http://file\nagents: [{handlers: [echo]}]\n")
	streams := write(t, "orchestrator: http://file\nstreams: http://file:8084\nagents: [{handlers: [echo]}]\n")
	for name, c := range map[string]struct {
		env  map[string]string
		want Config
		err  string
	}{
		"settings alone": {
			env: map[string]string{"HIVE_PROXY_URL": "http://nginx", "HIVE_AGENTS": "2", "HIVE_AGENT_CAPACITY": "3", "HIVE_AGENT_CAPABILITIES": "a, b", "HIVE_ENGINE_GRACE": "1s"},
			want: Config{Orchestrator: "http://nginx", Grace: time.Second, Agents: []Agents{{
				Count: 2, Capacity: 3, Capabilities: []string{"a", "b"}, Handlers: []string{"echo", "hash", "sleep"},
			}}},
		},
		"defaults": {
			env:  map[string]string{"HIVE_PROXY_URL": "http://nginx"},
			want: Config{Orchestrator: "http://nginx", Grace: 20 * time.Second, Agents: []Agents{{Count: 4, Capacity: 4, Handlers: []string{"echo", "hash", "sleep"}}}},
		},
		"file": {
			env:  map[string]string{"HIVE_ENGINE_CONFIG": file},
			want: Config{Orchestrator: "http://file", Grace: 20 * time.Second, Agents: []Agents{{Handlers: []string{"echo"}}}},
		},
		"file and place": {
			env:  map[string]string{"HIVE_ENGINE_CONFIG": file, "HIVE_PROXY_URL": "http://nginx", "HIVE_ENGINE_GRACE": "3s"},
			want: Config{Orchestrator: "http://nginx", Grace: 3 * time.Second, Agents: []Agents{{Handlers: []string{"echo"}}}},
		},
		"streams at a port of their own": {
			env:  map[string]string{"HIVE_ENGINE_CONFIG": file, "HIVE_STREAM_URL": "http://nginx:8084"},
			want: Config{Orchestrator: "http://file", Streams: "http://nginx:8084", Grace: 20 * time.Second, Agents: []Agents{{Handlers: []string{"echo"}}}},
		},
		"file with streams": {
			env:  map[string]string{"HIVE_ENGINE_CONFIG": streams},
			want: Config{Orchestrator: "http://file", Streams: "http://file:8084", Grace: 20 * time.Second, Agents: []Agents{{Handlers: []string{"echo"}}}},
		},
		"file with streams, at another place": {
			env:  map[string]string{"HIVE_ENGINE_CONFIG": streams, "HIVE_PROXY_URL": "http://nginx"},
			want: Config{Orchestrator: "http://nginx", Grace: 20 * time.Second, Agents: []Agents{{Handlers: []string{"echo"}}}},
		},
		"file and agents": {env: map[string]string{"HIVE_ENGINE_CONFIG": file, "HIVE_AGENTS": "3"}, err: "HIVE_AGENTS is set and so is HIVE_ENGINE_CONFIG"},
		"no file":         {env: map[string]string{"HIVE_ENGINE_CONFIG": file + "x"}, err: "HIVE_ENGINE_CONFIG: open "},
		"no orchestrator": {err: "HIVE_PROXY_URL is empty"},
		"bad number":      {env: map[string]string{"HIVE_PROXY_URL": "http://nginx", "HIVE_AGENTS": "many"}, err: `HIVE_AGENTS: "many" is not a number from 1 to 1000`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, unset := range append([]string{"HIVE_PROXY_URL", "HIVE_STREAM_URL", "HIVE_ENGINE_GRACE", "HIVE_ENGINE_CONFIG"}, agentSettings...) {
				t.Setenv(unset, c.env[unset])
			}
			cfg, err := configFromEnv(nil)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, cfg)
			_, err = New(cfg)
			require.NoError(t, err)
		})
	}
}

func TestNew_Refuses(t *testing.T) {
	good := func() Config {
		return Config{Orchestrator: "http://nginx", Instance: "i", Agents: []Agents{{Handlers: []string{"echo"}}}}
	}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"orchestrator": {func(c *Config) { c.Orchestrator = "nginx" }, `orchestrator "nginx"`},
		"streams":      {func(c *Config) { c.Streams = "nginx:8084" }, `streams "nginx:8084"`},
		"no group":     {func(c *Config) { c.Agents = nil }, "at least one group"},
		"handler":      {func(c *Config) { c.Agents[0].Handlers = []string{"mine"} }, `agents[0]: handler "mine": want one of echo, hash, sleep, http`},
		"no handler":   {func(c *Config) { c.Agents[0].Handlers = nil }, "handlers: want at least one"},
		"http":         {func(c *Config) { c.Agents[0].Handlers = []string{"http"} }, "http.allow: want at least one host"},
		"count":        {func(c *Config) { c.Agents[0].Count = -1 }, "count -1"},
		"instance":     {func(c *Config) { c.Instance = "a b" }, "make no agent's id"},
		"no hub":       {func(c *Config) { c.Agents[0].Progress.To = "a" }, "no hub is configured"},
		"same name":    {func(c *Config) { c.Agents = append(c.Agents, c.Agents[0]) }, `name "" is taken`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good()
			c.change(&cfg)
			_, err := New(cfg)
			require.ErrorContains(t, err, c.want)
		})
	}
	for name, option := range map[string]Option{
		`"Mine": want a name`:         WithHandler("Mine", HandlerFunc(echo)),
		`"hash": the name is taken`:   WithHandler("hash", HandlerFunc(echo)),
		`handler "mine" is nil`:       WithHandler("mine", nil),
		`"m": want one of echo, hash`: nil,
	} {
		cfg := good()
		options := []Option{}
		if option == nil {
			cfg.Agents[0].Handlers = []string{"m"}
		} else {
			options = append(options, option)
		}
		_, err := New(cfg, options...)
		require.ErrorContains(t, err, name)
	}
}
