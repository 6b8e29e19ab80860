package adopt

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/leanvibe/hive/workflows/health"
	"github.com/leanvibe/hive/workflows/maintenance"
)

// policy is a first runbook.yaml. A section that the stack has nothing for stands
// there as a comment with the reason.
func (s *stack) policy(p *Proposal, zone string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The policy of %s, begun by hive init: what procedures may do, when, and what they hold the stack against.\n", p.Project)
	b.WriteString("# Every field that is left out has a default; docs/policy.md explains all of them. Paths are relative to this file.\n\n")
	fmt.Fprintf(&b, "timezone: %s   # the hours of schedules are this zone's\n", yamlText(or(zone, "UTC")))
	b.WriteString("environment: production\n\n")
	s.proxySection(&b)
	s.databaseSection(&b)
	s.cacheSection(&b)
	s.metricsSection(&b)
	b.WriteString("logs:\n  directory: logs\n\n")
	b.WriteString("# No baselines yet: what is good here only you know. One looks like this; more are in docs/policy.md.\n")
	b.WriteString("# baselines:\n#   - {metric: Error Rate, query: …, unit: \"%\", better: lower, excellent: 0.01, good: 0.1, warning: 1, critical: 2}\n\n")
	b.WriteString("# No schedules yet: run each procedure by hand first, then let it run by itself.\n")
	fmt.Fprintf(&b, "# schedules:\n#   - {id: weekly-maintenance, procedure: %s, every: sunday, at: \"02:00\"}\n", maintenance.WeeklyMaintenance.Name)
	return b.String()
}

func (s *stack) proxySection(b *strings.Builder) {
	if !s.served() {
		comment(b, "", "No proxy section: "+s.noDoor()+".")
		b.WriteString("\n")
		return
	}
	url := s.url()
	b.WriteString("proxy:\n")
	fmt.Fprintf(b, "  service: %s\n", yamlText(s.proxy.Service))
	if url == "" {
		comment(b, "  ", "It publishes no port: say where this machine reaches it.")
		b.WriteString("  url: http://127.0.0.1:80\n")
	} else {
		if strings.HasPrefix(url, "https:") {
			comment(b, "  ", "Its certificate must be one that this machine trusts for this address; else name a plain port that only this machine reaches.")
		}
		fmt.Fprintf(b, "  url: %s\n", url)
	}
	fmt.Fprintf(b, "  address_dir: %s\n  access_log_dir: %s\n\n", addressDir, logDir)
}

// noDoor says why there is no proxy to look after.
func (s *stack) noDoor() string {
	switch {
	case s.proxy.Kind == "":
		return "no service of the stack is a proxy, so nothing can be rolled without downtime"
	case s.proxy.Kind != nginx:
		return fmt.Sprintf("%s is %s, which is not served yet (nginx is), so nothing can be rolled without downtime", s.proxy.Service, s.proxy.Kind)
	default:
		return fmt.Sprintf("how %s routes is not known, so nothing can be rolled without downtime; name its configuration with --proxy-conf", s.proxy.Service)
	}
}

// of are the services whose image is known for one thing.
func (s *stack) of(is string) []string {
	var out []string
	for _, name := range s.project.ServiceNames() {
		if s.known[name].is == is {
			out = append(out, name)
		}
	}
	return out
}

func (s *stack) databaseSection(b *strings.Builder) {
	all := s.of("PostgreSQL")
	if len(all) == 0 {
		comment(b, "", "No database section: "+s.noDatabase()+".")
		b.WriteString("\n")
		return
	}
	svc := s.project.Services[all[0]]
	if len(all) > 1 {
		comment(b, "", fmt.Sprintf("%s are PostgreSQL; one is looked after, and the first was taken.", strings.Join(all, " and ")))
	}
	user := or(value(svc, "POSTGRES_USER", "POSTGRESQL_USERNAME"), "postgres")
	fmt.Fprintf(b, "database:\n  service: %s\n", yamlText(all[0]))
	fmt.Fprintf(b, "  name: %s\n", yamlText(or(value(svc, "POSTGRES_DB", "POSTGRESQL_DATABASE"), user)))
	fmt.Fprintf(b, "  user: %s\n", yamlText(user))
	s.passwordFile(b, svc, "POSTGRES_PASSWORD_FILE", "secrets/postgres_password", "the password of "+user)
	b.WriteString("\n")
}

func (s *stack) noDatabase() string {
	if all := s.of("MySQL"); len(all) > 0 {
		return all[0] + " is MySQL, and only PostgreSQL is looked after yet"
	}
	return "no service of the stack is a PostgreSQL"
}

// passwordFile names the file of a password: the compose secret's own where it lies
// in the project, else one that the operator writes. A value is never copied.
func (s *stack) passwordFile(b *strings.Builder, svc types.ServiceConfig, variable, otherwise, whose string) {
	if target := value(svc, variable); target != "" {
		for _, secret := range svc.Secrets {
			at := or(secret.Target, secret.Source)
			if !strings.HasPrefix(at, "/") {
				at = "/run/secrets/" + at
			}
			file := s.project.Secrets[secret.Source].File
			if name := s.name(file); at == target && file != "" && filepath.IsLocal(name) {
				fmt.Fprintf(b, "  password_file: %s\n", yamlText(name))
				return
			}
		}
	}
	comment(b, "  ", fmt.Sprintf("Write %s into this file, 0600; it is not copied out of your configuration.", whose))
	fmt.Fprintf(b, "  password_file: %s\n", otherwise)
}

func value(svc types.ServiceConfig, names ...string) string {
	for _, name := range names {
		if v := svc.Environment[name]; v != nil && *v != "" {
			return *v
		}
	}
	return ""
}

func (s *stack) cacheSection(b *strings.Builder) {
	if nodes := s.clusterNodes(); len(nodes) > 0 {
		quoted := make([]string, len(nodes))
		for i, name := range nodes {
			quoted[i] = yamlText(name)
		}
		fmt.Fprintf(b, "cache:\n  services: [%s]\n", strings.Join(quoted, ", "))
		s.passwordFile(b, s.project.Services[nodes[0]], "REDIS_PASSWORD_FILE", "secrets/redis_password", "the password of the nodes")
		b.WriteString("\n")
		return
	}
	if all := s.of("Redis"); len(all) > 0 {
		s.servers(b, all)
		return
	}
	comment(b, "", "No cache section: no service of the stack is a Redis.")
	b.WriteString("\n")
}

// servers is the section of Redis servers that make no cluster.
func (s *stack) servers(b *strings.Builder, names []string) {
	quoted := make([]string, len(names))
	secret := ""
	for i, name := range names {
		quoted[i] = yamlText(name)
		if s.hasPassword(name) && secret == "" {
			secret = name
		}
	}
	fmt.Fprintf(b, "cache:\n  services: [%s]\n", strings.Join(quoted, ", "))
	comment(b, "  ", "Each is a Redis by itself: nothing in its command makes it a node of a Redis Cluster.")
	b.WriteString("  cluster: false\n")
	if secret == "" {
		comment(b, "  ", "No password is set in the compose file; where one is set elsewhere, write it into a file and name that.")
		b.WriteString("  password_file: \"\"\n\n")
		return
	}
	s.passwordFile(b, s.project.Services[secret], "REDIS_PASSWORD_FILE", "secrets/redis_password", "the password of "+secret)
	b.WriteString("\n")
}

// hasPassword says whether the compose file shows that a Redis asks for a password.
func (s *stack) hasPassword(name string) bool {
	svc := s.project.Services[name]
	said := strings.Join(slices.Concat(svc.Entrypoint, svc.Command), " ")
	return strings.Contains(said, "requirepass") || value(svc, "REDIS_PASSWORD", "REDIS_PASSWORD_FILE") != ""
}

// clusterNodes are the nodes of a Redis Cluster, if the stack has one.
func (s *stack) clusterNodes() []string {
	var out []string
	for _, name := range s.of("Redis") {
		svc := s.project.Services[name]
		said := strings.Join(slices.Concat(svc.Entrypoint, svc.Command), " ")
		if strings.Contains(said, "cluster-enabled yes") || value(svc, "REDIS_NODES") != "" {
			out = append(out, name)
		}
	}
	return out
}

func (s *stack) metricsSection(b *strings.Builder) {
	prometheus, alertmanager := s.published("Prometheus", 9090), s.published("Alertmanager", 9093)
	if prometheus != "" || alertmanager != "" {
		b.WriteString("metrics:\n")
		for _, m := range []struct{ field, url, otherwise string }{
			{"prometheus", prometheus, "http://127.0.0.1:9090"}, {"alertmanager", alertmanager, "http://127.0.0.1:9093"},
		} {
			if m.url == "" {
				fmt.Fprintf(b, "  # %s: %s   # the stack publishes none\n", m.field, m.otherwise)
				continue
			}
			fmt.Fprintf(b, "  %s: %s\n", m.field, m.url)
		}
		b.WriteString("\n")
		return
	}
	comment(b, "", "No metrics section: "+s.noMetrics()+".")
	fmt.Fprintf(b, "# metrics:\n#   prometheus: %s\n#   alertmanager: %s\n\n",
		or(prometheus, "http://127.0.0.1:9090"), or(alertmanager, "http://127.0.0.1:9093"))
}

func (s *stack) noMetrics() string {
	var missing []string
	for _, m := range []struct {
		is   string
		port uint32
	}{{"Prometheus", 9090}, {"Alertmanager", 9093}} {
		if s.published(m.is, m.port) == "" {
			missing = append(missing, m.is)
		}
	}
	return "no " + strings.Join(missing, " and no ") + " that this machine could reach by a published port"
}

// published is where this machine reaches a service of a kind.
func (s *stack) published(is string, target uint32) string {
	for _, name := range s.of(is) {
		for _, p := range s.project.Services[name].Ports {
			if p.Target == target && p.Published != "" {
				host := p.HostIP
				if host == "" || host == "0.0.0.0" || host == "::" {
					host = "127.0.0.1"
				}
				return fmt.Sprintf("http://%s:%s", host, p.Published)
			}
		}
	}
	return ""
}

// abilities say per procedure what it can do on this stack, and what it refuses.
func (s *stack) abilities(p *Proposal) {
	var rolled, barred []string
	for _, svc := range p.Services {
		if !svc.Role.Rolled() || svc.once {
			continue
		}
		open := slices.ContainsFunc(svc.Bars, func(b Bar) bool { return !b.Lifted && !soft(b) })
		if svc.upstream != "" && svc.probe != nil && !open {
			rolled = append(rolled, svc.Name)
		} else {
			barred = append(barred, svc.Name)
		}
	}
	why := strings.Join(rolled, ", ")
	if len(barred) > 0 && len(rolled) > 0 {
		why += "; not " + strings.Join(barred, ", ") + ", whose bars remain"
	}
	if len(rolled) == 0 {
		why = "no service can be rolled without downtime: " + s.noRoll()
	}
	add := func(name string, possible bool, why string) {
		p.Abilities = append(p.Abilities, Ability{name, possible, why})
	}
	database := len(s.of("PostgreSQL")) > 0
	add(health.ReadinessCheck.Name, true, "looks at what the policy names")
	add(maintenance.RollingRestart.Name, len(rolled) > 0, why)
	add(maintenance.ScaleService.Name, len(rolled) > 0, why)
	if database {
		add(maintenance.DatabaseMaintenance.Name, true, s.of("PostgreSQL")[0])
	} else {
		add(maintenance.DatabaseMaintenance.Name, false, s.noDatabase())
	}
	add(maintenance.LogManagement.Name, true, "logs/, and stopped containers and unused images of the stack")
	var without []string
	if len(rolled) == 0 {
		without = append(without, "its roll")
	}
	if !database {
		without = append(without, "its care of the database")
	}
	if len(without) == 0 {
		add(maintenance.WeeklyMaintenance.Name, true, "all four parts")
	} else {
		add(maintenance.WeeklyMaintenance.Name, true, "what there is to work on: "+"without "+strings.Join(without, " and ")+", which a run leaves out and says so")
	}
}

// soft bars are worth mending and do not keep a service from being rolled.
func soft(b Bar) bool { return strings.HasPrefix(b.What, "no health check") }

func (s *stack) noRoll() string {
	if !s.served() {
		return strings.TrimSuffix(s.noDoor(), ", so nothing can be rolled without downtime")
	}
	return "see the bars of each service"
}
