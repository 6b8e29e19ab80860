package engine

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Config is what an engine hosts. docs/specialized-engines.md has the same fields
// as they are written in a file.
type Config struct {
	// Orchestrator is the base URL of the universal-orchestrator or of the proxy
	// before it, for example http://nginx.
	Orchestrator string
	// Streams is the base URL where the agents attach, which takes HTTP/2; Orchestrator
	// unless set. A proxy may have a port of its own for it, for example http://nginx:8084.
	Streams string
	// Hub is the base URL of the communication-hub; needed where a group has a Progress.To.
	Hub string
	// Token lets the agents in at both, one of role agent; empty: none is sent.
	Token string
	// Instance is this engine's part of its agents' ids; the host's name unless set.
	Instance string
	// Grace is how long tasks in flight may take to finish when the engine stops,
	// 20 s unless set; the rest is given back.
	Grace time.Duration
	// Agents are the groups, at least one.
	Agents []Agents
}

// Agents is a group of agents that are all alike.
type Agents struct {
	// Name begins their ids: <name>-<instance>-<n>; empty: <instance>-<n>.
	Name string
	// Count is their number, 1 unless set.
	Count int
	// Capacity is how many tasks one of them executes at a time, 1 to 1000, 4 unless set.
	Capacity int
	// Capabilities, at most 16; the handlers' names unless set.
	Capabilities []string
	// Labels are shown with the agent, beside service and version; at most 14.
	Labels map[string]string
	// Handlers that they have: echo, hash, sleep, http, and those of WithHandler.
	Handlers []string
	// Hash, Sleep and HTTP are the options of the handlers of these names.
	Hash  HashOptions
	Sleep SleepOptions
	HTTP  HTTPOptions
	// Progress says where reports go.
	Progress ProgressOptions
}

// Bounds of a configuration; the server has the same or wider ones.
const (
	agentsMax       = 1000
	capacityMax     = 1000
	capabilitiesMax = 16
	labelsMax       = 14 // the server takes 16; service and version are ours
	labelKeyMax     = 64
	labelValueMax   = 256
	capacityDefault = 4
	graceDefault    = 20 * time.Second
	graceMax        = time.Hour
	sleepDefault    = time.Second
	sleepMax        = 10 * time.Minute
	sleepMost       = 24 * time.Hour
)

// Forms of names, as the server has them.
var (
	nameForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	prefixForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	agentForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
)

const nameWant = "1 to 64 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit"

// complete fills in what was left out and refuses what cannot work. The slices are
// copied first: the caller's configuration stays as it is.
func (c *Config) complete(own map[string]Handler) error {
	var problems []error
	c.Orchestrator, c.Hub = strings.TrimRight(c.Orchestrator, "/"), strings.TrimRight(c.Hub, "/")
	c.Streams = or(strings.TrimRight(c.Streams, "/"), c.Orchestrator)
	if !isBaseURL(c.Orchestrator) {
		problems = append(problems, fmt.Errorf("orchestrator %q: write the URL where it is reached, for example http://nginx", c.Orchestrator))
	}
	if !isBaseURL(c.Streams) && c.Streams != c.Orchestrator {
		problems = append(problems, fmt.Errorf("streams %q: write the URL where agents attach, for example http://nginx:8084", c.Streams))
	}
	if c.Hub != "" && !isBaseURL(c.Hub) {
		problems = append(problems, fmt.Errorf("hub %q: write the URL where it is reached, for example http://nginx", c.Hub))
	}
	if c.Instance == "" {
		host, err := os.Hostname()
		problems = append(problems, err)
		c.Instance = host
	}
	c.Grace = or(c.Grace, graceDefault)
	if c.Grace < 0 || c.Grace > graceMax {
		problems = append(problems, fmt.Errorf("grace %s: write a duration above 0 and up to %s", c.Grace, graceMax))
	}
	if len(c.Agents) == 0 {
		problems = append(problems, errors.New("agents: write at least one group"))
	}
	c.Agents = slices.Clone(c.Agents)
	total, names := 0, map[string]bool{}
	for i := range c.Agents {
		g := &c.Agents[i]
		g.complete()
		total += g.Count
		if err := g.check(own, c.Hub != "", c.Instance); err != nil {
			problems = append(problems, fmt.Errorf("agents[%d]: %w", i, err))
		}
		if names[g.Name] {
			problems = append(problems, fmt.Errorf("agents[%d]: name %q is taken by another group: the agents' ids would be the same", i, g.Name))
		}
		names[g.Name] = true
	}
	if total > agentsMax {
		problems = append(problems, fmt.Errorf("%d agents: one engine hosts at most %d", total, agentsMax))
	}
	return errors.Join(problems...)
}

// complete fills in what was left out.
func (g *Agents) complete() {
	g.Count = or(g.Count, 1)
	g.Capacity = or(g.Capacity, capacityDefault)
	if len(g.Capabilities) == 0 {
		g.Capabilities = slices.Clone(g.Handlers)
	}
	g.Hash.Algorithm = or(g.Hash.Algorithm, "sha256")
	g.Sleep.Max = or(g.Sleep.Max, sleepMax)
	g.Sleep.Default = or(g.Sleep.Default, min(sleepDefault, g.Sleep.Max))
	g.HTTP = g.HTTP.completed()
	g.Progress.Every = or(g.Progress.Every, everyDefault)
}

// check refuses what cannot work.
func (g *Agents) check(own map[string]Handler, hub bool, instance string) error {
	var problems []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	require(g.Name == "" || prefixForm.MatchString(g.Name), "name %q: want at most 64 letters, digits, '.', '_', '-'", g.Name)
	require(g.Count >= 1 && g.Count <= agentsMax, "count %d: want 1 to %d", g.Count, agentsMax)
	require(agentForm.MatchString(agentID(g.Name, instance, g.Count)),
		"name %q and instance %q make no agent's id of at most 128 letters, digits, '.', '_', '-'", g.Name, instance)
	require(g.Capacity >= 1 && g.Capacity <= capacityMax, "capacity %d: want 1 to %d", g.Capacity, capacityMax)
	require(len(g.Capabilities) <= capabilitiesMax, "%d capabilities: want at most %d", len(g.Capabilities), capabilitiesMax)
	for _, name := range g.Capabilities {
		require(nameForm.MatchString(name), "capability %q: want %s", name, nameWant)
	}
	require(len(g.Labels) <= labelsMax, "%d labels: want at most %d", len(g.Labels), labelsMax)
	for k, v := range g.Labels {
		require(k != "" && len(k) <= labelKeyMax && len(v) <= labelValueMax,
			"label %.64q: want a key of up to %d bytes and a value of up to %d", k, labelKeyMax, labelValueMax)
	}
	require(len(g.Handlers) > 0, "handlers: want at least one of %s", handlerNames(own))
	for _, name := range g.Handlers {
		require(isHandler(name, own), "handler %q: want one of %s", name, handlerNames(own))
	}
	require(algorithms[g.Hash.Algorithm] != nil, "hash.algorithm %q: want %s", g.Hash.Algorithm, algorithmNames)
	require(g.Sleep.Max > 0 && g.Sleep.Max <= sleepMost, "sleep.max %s: want a duration above 0 and up to %s", g.Sleep.Max, sleepMost)
	require(g.Sleep.Default > 0 && g.Sleep.Default <= g.Sleep.Max,
		"sleep.default %s: want a duration above 0 and up to sleep.max, %s", g.Sleep.Default, g.Sleep.Max)
	if slices.Contains(g.Handlers, httpName) {
		problems = append(problems, g.HTTP.check())
	}
	problems = append(problems, g.Progress.check(hub))
	return errors.Join(problems...)
}

// agentID names the n-th agent of a group, from 1.
func agentID(name, instance string, n int) string {
	id := fmt.Sprintf("%s-%d", instance, n)
	if name != "" {
		id = name + "-" + id
	}
	return id
}

func isHandler(name string, own map[string]Handler) bool {
	return slices.Contains(builtin, name) || own[name] != nil
}

// handlerNames lists what a group may have, for messages.
func handlerNames(own map[string]Handler) string {
	names := slices.Clone(builtin)
	for name := range own {
		names = append(names, name)
	}
	slices.Sort(names[len(builtin):])
	return strings.Join(names, ", ")
}

func isBaseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil &&
		u.RawQuery == "" && u.Fragment == ""
}

// or answers the fallback where nothing was set.
func or[T comparable](v, fallback T) T {
	var unset T
	if v == unset {
		return fallback
	}
	return v
}
