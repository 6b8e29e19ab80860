package adopt

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/leanvibe/hive/workflows/runbook"
)

// kind is what an image is known for.
type kind struct {
	role runbook.Role
	// is names it in a sentence.
	is string
}

// knownImages are images that everybody uses for one thing. A name stands for itself
// and for what ends in it after a dash ("bitnami-postgresql").
var knownImages = []struct {
	names string
	kind
}{
	{"postgres postgresql postgis timescaledb timescaledb-ha pgvector", kind{runbook.RoleStore, "PostgreSQL"}},
	{"mysql mariadb percona percona-server", kind{runbook.RoleStore, "MySQL"}},
	{"redis redis-stack redis-stack-server valkey keydb dragonfly", kind{runbook.RoleStore, "Redis"}},
	{"redis-cluster", kind{runbook.RoleStore, "Redis"}},
	{"mongo mongodb mongodb-community-server", kind{runbook.RoleStore, "MongoDB"}},
	{"memcached elasticsearch opensearch rabbitmq nats kafka redpanda zookeeper minio clickhouse clickhouse-server cassandra scylla etcd influxdb couchdb neo4j meilisearch typesense solr consul vault qdrant weaviate", kind{runbook.RoleStore, "a store"}},
	{"nginx openresty nginx-unprivileged", kind{runbook.RoleProxy, "nginx"}},
	{"nginx-proxy", kind{runbook.RoleProxy, "nginx-proxy"}},
	{"nginx-proxy-manager", kind{runbook.RoleProxy, "nginx-proxy-manager"}},
	{"swag", kind{runbook.RoleProxy, "swag"}},
	{"traefik", kind{runbook.RoleProxy, "traefik"}},
	{"caddy", kind{runbook.RoleProxy, "caddy"}},
	{"haproxy", kind{runbook.RoleProxy, "haproxy"}},
	{"envoy", kind{runbook.RoleProxy, "envoy"}},
	{"kong", kind{runbook.RoleProxy, "kong"}},
	{"apisix", kind{runbook.RoleProxy, "apisix"}},
	{"prometheus", kind{runbook.RoleMonitoring, "Prometheus"}},
	{"alertmanager", kind{runbook.RoleMonitoring, "Alertmanager"}},
	{"grafana grafana-oss grafana-enterprise loki promtail tempo mimir cadvisor blackbox jaeger all-in-one zipkin uptime-kuma netdata otel opentelemetry-collector opentelemetry-collector-contrib fluent-bit fluentd vector datadog agent-dd telegraf portainer portainer-ce watchtower autoheal", kind{runbook.RoleMonitoring, "monitoring"}},
}

func knownImage(image string) (kind, bool) {
	name := short(image)
	if name == "" {
		return kind{}, false
	}
	if strings.HasSuffix(name, "exporter") {
		return kind{runbook.RoleMonitoring, "an exporter"}, true
	}
	for _, k := range knownImages {
		if slices.Contains(strings.Fields(k.names), name) {
			return k.kind, true
		}
	}
	for _, k := range knownImages {
		if first, _, _ := strings.Cut(k.names, " "); strings.HasSuffix(name, "-"+first) {
			return k.kind, true
		}
	}
	return kind{}, false
}

// kinds looks at every image once.
func (s *stack) kinds() {
	for name, image := range s.images {
		if k, ok := knownImage(image); ok {
			s.known[name] = k
		}
	}
}

var (
	workerWord = regexp.MustCompile(`(?i)(^|[^a-z])(worker|workers|celery|sidekiq|resque|rq|dramatiq|huey|consumer|consume|queue:work|horizon|delayed_job|bullmq|jobs)([^a-z]|$)`)
	timerWord  = regexp.MustCompile(`(?i)(^|[^a-z])(beat|scheduler|schedule:work|cron|crond|supercronic|ofelia)([^a-z]|$)`)
	onceWord   = regexp.MustCompile(`(?i)(^|[^a-z])(migrate|migration|migrations|migrator|db-init|init-db|seed|bootstrap|setup|collectstatic)([^a-z]|$)`)
	storePorts = []uint32{5432, 3306, 6379, 27017, 5672, 9092, 11211, 9200, 4222, 2379}
	storeDirs  = []string{"/var/lib/postgresql", "/var/lib/mysql", "/data/db", "/var/lib/rabbitmq", "/var/lib/redis", "/usr/share/elasticsearch/data", "/bitnami"}
)

const workerNote = "a worker is rolled by its tasks, which it must tell at GET /control/status (docs/your-own-stack.md); " +
	"until it does it has no probe and is never rolled"

// guess says what a service is, and by what it was told.
func (s *stack) guess(name string) Service {
	svc := s.project.Services[name]
	out := Service{Name: name, Line: s.line("services", name)}
	is := func(role runbook.Role, format string, args ...any) Service {
		out.Role, out.Why = role, fmt.Sprintf(format, args...)
		return out
	}
	k, known := s.known[name]
	said := told(name, svc)
	switch {
	case name == s.proxy.Service:
		return is(runbook.RoleProxy, "image %s is %s, and it is the front door: %s", short(s.images[name]), k.is, s.entrance(svc))
	case known && k.role != runbook.RoleProxy:
		return is(k.role, "image %s is %s", short(s.images[name]), k.is)
	case len(s.routes.of(name)) > 0:
		one := s.routes.of(name)[0]
		return is(runbook.RoleApp, "nginx routes %s to it (%s:%d)", or(one.path, "requests"), s.routes.file, one.pass.line)
	case s.once(name, svc, said):
		out.once = true
		return is(runbook.RoleWorker, "it runs once (%s)", s.onceBy(name, said))
	case timerWord.MatchString(said):
		out.Notes = append(out.Notes, "it works by the clock: two of it at once do each job twice, so it has no probe and is never rolled")
		return is(runbook.RoleWorker, "%q in its name or command", timerWord.FindStringSubmatch(said)[2])
	case workerWord.MatchString(said) && len(svc.Ports) == 0:
		out.Notes = append(out.Notes, workerNote)
		return is(runbook.RoleWorker, "%q in its name or command", workerWord.FindStringSubmatch(said)[2])
	}
	if where, ok := keepsData(svc); ok {
		return is(runbook.RoleStore, "it keeps data in %s", where)
	}
	if ports := inside(svc); len(ports) > 0 {
		if slices.Contains(storePorts, ports[0]) {
			return is(runbook.RoleStore, "it listens on %d, a store's port", ports[0])
		}
		return is(runbook.RoleApp, "it listens on %d", ports[0])
	}
	if known {
		return is(runbook.RoleApp, "image %s is %s, but nobody enters the stack by it", short(s.images[name]), k.is)
	}
	if url, ok := healthURL(svc); ok {
		return is(runbook.RoleApp, "its health check asks %s", url.path)
	}
	out.Notes = append(out.Notes, workerNote)
	return is(runbook.RoleWorker, "it opens no port and nothing routes to it")
}

// told is a service's name and what its command says beside flags and the modules
// that they name: "gunicorn --workers 4" is no worker.
func told(name string, svc types.ServiceConfig) string {
	words := []string{name}
	for _, w := range slices.Concat(svc.Entrypoint, svc.Command) {
		for _, part := range strings.Fields(w) { // a shell's command is one word here
			if !strings.HasPrefix(part, "-") && !strings.Contains(part, ".workers.") {
				words = append(words, part)
			}
		}
	}
	return strings.Join(words, " ")
}

// entrance says by which ports users come in.
func (s *stack) entrance(svc types.ServiceConfig) string {
	var ports []string
	for _, p := range svc.Ports {
		if p.Published != "" {
			ports = append(ports, p.Published)
		}
	}
	if len(ports) == 0 {
		return "it routes to services of the stack"
	}
	return "it publishes port " + strings.Join(ports, " and ")
}

// once says whether a service runs to its end: others wait for that, or its name or
// command says so and nothing restarts it.
func (s *stack) once(name string, svc types.ServiceConfig, said string) bool {
	if svc.Restart != "" && svc.Restart != "no" && !strings.HasPrefix(svc.Restart, "on-failure") {
		return false
	}
	return s.awaited(name) || onceWord.MatchString(said)
}

func (s *stack) awaited(name string) bool {
	for _, other := range s.project.Services {
		if d, ok := other.DependsOn[name]; ok && d.Condition == types.ServiceConditionCompletedSuccessfully {
			return true
		}
	}
	return false
}

func (s *stack) onceBy(name, said string) string {
	if s.awaited(name) {
		return "others wait until it has completed"
	}
	return fmt.Sprintf("%q in its name or command, and nothing restarts it", onceWord.FindStringSubmatch(said)[2])
}

func keepsData(svc types.ServiceConfig) (string, bool) {
	for _, v := range svc.Volumes {
		for _, dir := range storeDirs {
			if v.Target == dir || strings.HasPrefix(v.Target, dir+"/") {
				return v.Target, true
			}
		}
	}
	return "", false
}

// inside are the ports that a service says it listens on.
func inside(svc types.ServiceConfig) []uint32 {
	var out []uint32
	for _, p := range svc.Ports {
		out = append(out, p.Target)
	}
	for _, e := range svc.Expose {
		var port uint32
		if _, err := fmt.Sscanf(e, "%d", &port); err == nil {
			out = append(out, port)
		}
	}
	return out
}

// order gives apps and workers their place in a roll: what others depend on first.
func order(s *stack, services []Service) {
	depth := map[string]int{}
	var deep func(name string, seen []string) int
	deep = func(name string, seen []string) int {
		if d, ok := depth[name]; ok || slices.Contains(seen, name) {
			return d
		}
		d := 0
		for other := range s.project.Services[name].DependsOn {
			if _, there := s.project.Services[other]; there {
				d = max(d, 1+deep(other, append(seen, name)))
			}
		}
		depth[name] = d
		return d
	}
	rank := map[runbook.Role]int{runbook.RoleApp: 0, runbook.RoleWorker: 1}
	var rolled []*Service
	for i := range services {
		if services[i].Role.Rolled() && !services[i].once {
			rolled = append(rolled, &services[i])
		}
	}
	slices.SortStableFunc(rolled, func(a, b *Service) int {
		if r := rank[a.Role] - rank[b.Role]; r != 0 {
			return r
		}
		return deep(a.Name, nil) - deep(b.Name, nil)
	})
	for i, svc := range rolled {
		svc.order = 10 * (i + 1)
	}
}

func or(value, fallback string) string {
	if value != "" {
		return value
	}
	return fallback
}
