package runbookmap

import (
	"path"
	"regexp"
	"strings"
)

// command is a command line as far as it can be compared with another: what it
// does, its words with their weights, and what it does it to.
type command struct {
	// head is the program and what it is told to do; commands with another head are
	// never taken for each other.
	head string
	// told says that the head alone tells what happens ("docker compose restart"),
	// and not the words behind it ("curl", "find").
	told bool
	// words are weights by word.
	words map[string]float64
	values
}

// values are what a command was given, for the command that replaces it.
type values struct {
	services       []string
	replicas, tail string
}

// Weights: what is done to what weighs most, how it is spelt least.
const (
	strong = 3.0
	plain  = 1.0
	weak   = 0.3
	flag   = 0.5
)

var (
	number   = regexp.MustCompile(`^[-+]?\d[\d.:-]*[a-z]{0,6}$`)
	word     = regexp.MustCompile(`[a-z_][a-z0-9_]*|\d+`)
	safeName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)
	digits   = regexp.MustCompile(`^\d{1,6}$`)
	assigned = regexp.MustCompile(`^[A-Za-z_]\w*=`)
	ordinal  = regexp.MustCompile(`[-_]\d+$`)
	// fixed are services that no procedure restarts.
	fixed = regexp.MustCompile(`postgres|mysql|maria|mongo|redis|valkey|rabbit|kafka|nats|elastic|opensearch|minio|memcache|etcd|(^|[-_])db($|[-_0-9])|database|nginx|traefik|caddy|haproxy|envoy|prometheus|alertmanager|grafana|exporter`)
)

// valued are flags whose value says where, and not what.
var valued = map[string][]string{
	"docker compose": {"-f", "--file", "-p", "--project-name", "--env-file", "--profile", "--project-directory"},
	"docker":         {"-H", "--host", "--context", "-c"},
	"redis-cli":      {"-h", "-p", "-a", "-n", "-u", "--user", "--pass"},
	"curl":           {"-m", "--max-time", "-o", "--output", "-H", "--header", "-u", "--user", "--connect-timeout", "-w", "--retry"},
	"docker exec":    {"-u", "--user", "-w", "--workdir", "-e", "--env", "--index"},
	"sudo":           {"-u", "--user", "-g"},
}

// parseCommand reads one pipe.
func parseCommand(pipe []stage) command {
	c := command{words: map[string]float64{}}
	for i, s := range pipe {
		s = unwrap(s)
		if len(s) == 0 {
			continue
		}
		if i == 0 || c.head == "" {
			c.first(s)
			continue
		}
		c.add(path.Base(s[0]), weak)
		for _, w := range s[1:] {
			c.generic(w)
		}
	}
	return c
}

// unwrap takes off what is only around a command: sudo, variables, docker exec.
func unwrap(s stage) stage {
	for len(s) > 0 {
		switch {
		case s[0] == "$" || s[0] == "time" || s[0] == "nohup" || s[0] == "env" || assigned.MatchString(s[0]):
			s = s[1:]
		case s[0] == "sudo":
			s = skipFlags(s[1:], "sudo")
		case (path.Base(s[0]) == "bash" || path.Base(s[0]) == "sh" || isPython(s[0])) && len(s) > 1 && !strings.HasPrefix(s[1], "-"):
			s = append(stage{path.Base(s[1])}, s[2:]...)
		default:
			rest, ok := inContainer(s)
			if !ok {
				return s
			}
			s = rest
		}
	}
	return s
}

func isPython(program string) bool { return strings.HasPrefix(path.Base(program), "python") }

// inContainer is the command that docker exec runs.
func inContainer(s stage) (stage, bool) {
	rest := engine(s)
	switch {
	case len(rest) > 1 && rest[0] == "docker" && rest[1] == "exec":
		rest = rest[2:]
	case len(rest) > 1 && rest[0] == "docker compose" && rest[1] == "exec":
		rest = rest[2:]
	default:
		return nil, false
	}
	rest = skipFlags(rest, "docker exec")
	if len(rest) < 2 { // no command: a shell in the container
		return nil, false
	}
	return rest[1:], true
}

// engine gives the container engine's command line one spelling: program, verb,
// words; without the flags that say which file, project or engine.
func engine(s stage) stage {
	program, rest := path.Base(s[0]), s[1:]
	if program != "docker" && program != "docker-compose" {
		return s
	}
	if program == "docker" {
		rest = skipFlags(rest, "docker")
		if len(rest) > 0 && rest[0] == "compose" {
			program, rest = "docker-compose", rest[1:]
		}
	}
	if program == "docker-compose" {
		return append(stage{"docker compose"}, skipFlags(rest, "docker compose")...)
	}
	if len(rest) > 1 && (rest[0] == "container" || rest[0] == "image") && rest[1] != "prune" {
		rest = rest[1:]
		if rest[0] == "ls" || rest[0] == "list" {
			rest = append(stage{"ps"}, rest[1:]...)
		}
	}
	return append(stage{"docker"}, rest...)
}

// skipFlags drops leading flags, with the values of those that have one.
func skipFlags(s stage, program string) stage {
	for len(s) > 0 && strings.HasPrefix(s[0], "-") {
		takes := hasValue(program, s[0])
		s = s[1:]
		if takes && len(s) > 0 {
			s = s[1:]
		}
	}
	return s
}

func hasValue(program, flag string) bool {
	for _, f := range valued[program] {
		if f == flag {
			return true
		}
	}
	return false
}

// first reads the stage that says what the command does.
func (c *command) first(s stage) {
	s = engine(s)
	switch program := path.Base(s[0]); program {
	case "docker", "docker compose":
		c.docker(program, s[1:])
	case "psql":
		c.sql(s[1:])
	case "redis-cli":
		c.redis(s[1:])
	case "curl", "wget", "http":
		c.web(s[1:])
	case "find", "tail", "tar", "grep", "cat", "less":
		c.head = program
		c.add(program, weak)
		c.rest(s[1:])
	default:
		c.head, c.told = program, true
		words := s[1:]
		if (program == "openssl" || program == "certbot" || program == "zero-downtime-migration.sh") && len(words) > 0 {
			c.head, words = program+" "+words[0], words[1:]
		}
		c.rest(words)
	}
}

// docker reads the engine's verbs; what they act on are services.
func (c *command) docker(program string, s stage) {
	if len(s) == 0 {
		c.head = program
		return
	}
	verb, s := s[0], s[1:]
	c.head, c.told = program+" "+verb, true
	switch verb {
	case "system", "network", "volume", "image", "container", "builder":
		if len(s) > 0 {
			c.head, s = c.head+" "+s[0], s[1:]
		}
	case "run", "build":
		c.told = false
		c.add(verb, weak)
	}
	actsOnServices := program == "docker compose" || verb == "restart" || verb == "logs" || verb == "stop" || verb == "start" || verb == "kill" || verb == "rm"
	for i := 0; i < len(s); i++ {
		name, value, joined := strings.Cut(s[i], "=")
		next := func() string {
			if !joined && i+1 < len(s) {
				i++
				return s[i]
			}
			return value
		}
		switch {
		case name == "--tail" || name == "-n" && verb == "logs":
			c.add("--tail", plain)
			c.tail = only(digits, next())
		case name == "--scale":
			service, replicas, _ := strings.Cut(strings.TrimPrefix(s[i], "--scale="), "=")
			if !joined {
				service, replicas, _ = strings.Cut(next(), "=")
			}
			c.add("--scale", strong)
			c.service(service)
			c.replicas = only(digits, replicas)
		case name == "--no-deps":
			c.add(name, 2*plain)
		case name == "--format" || name == "--filter" || name == "-t" || name == "--time" || name == "--since" || name == "--until":
			next()
			c.add(name, weak)
		case strings.HasPrefix(name, "-"):
			c.add(name, flag)
		case actsOnServices:
			c.service(s[i])
		default:
			c.generic(s[i])
		}
	}
}

// service notes one that is acted on. Which one is no difference between two
// commands, but a store is no app.
func (c *command) service(name string) {
	name = strings.TrimPrefix(name, "leanvibe-")
	name = ordinal.ReplaceAllString(name, "")
	if fixed.MatchString(name) {
		c.words["<fixed>"] = strong
	} else {
		c.words["<service>"] = plain
	}
	if safeName.MatchString(name) {
		c.services = append(c.services, name)
	}
}

// common are words of SQL and PromQL that say nothing about what is asked.
var common = set(`select from where and or not as order group by desc asc limit now interval minute hour day count sum rate avg
	max min le api v1 query http https localhost is null state active idle schemaname tablename size`)

func set(words string) map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		out[w] = true
	}
	return out
}

// sql reads what psql is told to do; which database it asks is no difference.
func (c *command) sql(s stage) {
	c.head = "psql"
	for i, w := range s {
		statement := ""
		switch name, joined, ok := strings.Cut(w, "="); {
		case (w == "-c" || w == "--command") && i+1 < len(s):
			statement = s[i+1]
		case name == "--command" && ok:
			statement = joined
		}
		words := word.FindAllString(strings.ToLower(statement), -1)
		if len(words) == 0 {
			continue
		}
		if c.head == "psql" {
			c.head, c.told = "psql "+words[0], words[0] != "select"
		}
		c.query(words)
	}
}

// query adds the words of a question: names weigh, its grammar hardly does.
func (c *command) query(words []string) {
	for _, w := range words {
		switch {
		case number.MatchString(w):
			c.add("<n>", weak)
		case common[w]:
			c.add(w, weak)
		default:
			c.add(w, strong)
		}
	}
}

func (c *command) redis(s stage) {
	c.head, c.told = "redis-cli", true
	var words []string
	for i := 0; i < len(s); i++ {
		switch {
		case hasValue("redis-cli", s[i]):
			i++
		case s[i] == "--cluster":
			words = append(words, "--cluster")
		case strings.HasPrefix(s[i], "-"):
		default:
			words = append(words, strings.ToLower(s[i]))
		}
	}
	said := 1
	if len(words) > 0 && strings.HasSuffix(words[0], "cluster") {
		said = 2
	}
	for i, w := range words {
		if i < said {
			c.head += " " + w
		} else {
			c.generic(w)
		}
	}
}

// web reads a URL: its host is no difference, its path and its question are.
func (c *command) web(s stage) {
	c.head = "curl"
	c.add("curl", weak)
	for i := 0; i < len(s); i++ {
		switch {
		case hasValue("curl", s[i]):
			i++
		case strings.HasPrefix(s[i], "-"):
		default:
			url := s[i]
			if _, after, ok := strings.Cut(url, "://"); ok {
				url = after
			}
			_, place, _ := strings.Cut(url, "/")
			place = strings.NewReplacer("healthz", "health", "readyz", "health", "%5B", "[", "%5D", "]", "%28", "(", "%29", ")").Replace(place)
			words := word.FindAllString(strings.ToLower(place), -1)
			for _, w := range words {
				if !duration(w) {
					c.query([]string{w})
				}
			}
		}
	}
}

// duration is the unit that is left of "[5m]" once the number is cut off.
func duration(w string) bool { return len(w) == 1 && strings.Contains("smhdw", w) }

func (c *command) rest(s stage) {
	for _, w := range s {
		c.generic(w)
	}
}

// generic adds a word of which nothing is known.
func (c *command) generic(w string) {
	base := path.Base(strings.TrimSuffix(w, "/"))
	switch {
	case w == "-delete" || w == "-exec":
		c.add(w, plain)
	case number.MatchString(w):
		c.add("<n>", weak)
	case strings.HasPrefix(w, "-"):
		name, _, _ := strings.Cut(w, "=")
		c.add(name, flag)
	case strings.HasSuffix(base, ".log") && !strings.Contains(base, "*"):
		c.add("<log>", plain)
	case strings.HasPrefix(w, "$"), strings.Contains(w, "$("):
		c.add("<value>", weak)
	default:
		c.add(strings.ToLower(base), plain)
	}
}

func (c *command) add(word string, weight float64) {
	if word != "" {
		c.words[word] = weight
	}
}

func only(pattern *regexp.Regexp, text string) string {
	if pattern.MatchString(text) {
		return text
	}
	return ""
}

// likeness of two commands, from 0 to 1. Where the head tells all, the words behind
// it only choose between lines of the same head.
func (c command) likeness(other command) float64 {
	same := dice(c.words, other.words)
	switch {
	case c.head != other.head:
		return 0
	case c.told:
		return enough + (1-enough)*same
	default:
		return same
	}
}

// near is the likeness for a list of suggestions: it also sees other heads.
func (c command) near(other command) float64 {
	if of := c.likeness(other); of > 0 {
		return of
	}
	a, b := map[string]float64{}, map[string]float64{}
	for w, weight := range c.words {
		a[w] = weight
	}
	for w, weight := range other.words {
		b[w] = weight
	}
	for _, w := range strings.Fields(c.head) {
		a["head "+w] = 2 * plain
	}
	for _, w := range strings.Fields(other.head) {
		b["head "+w] = 2 * plain
	}
	return dice(a, b)
}

// dice is twice what two sets share over what they hold; two empty sets are alike.
func dice(a, b map[string]float64) float64 {
	shared, all := 0.0, 0.0
	for w, weight := range a {
		all += weight
		if _, both := b[w]; both {
			shared += weight
		}
	}
	for w, weight := range b {
		all += weight
		if _, both := a[w]; both {
			shared += weight
		}
	}
	if all == 0 {
		return 1
	}
	return shared / all
}
