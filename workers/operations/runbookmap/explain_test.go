package runbookmap

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func load(t *testing.T) *Map {
	t.Helper()
	m, err := Load()
	require.NoError(t, err)
	return m
}

// Each line of the runbook is answered as itself, wherever it stands.
func TestEveryLineExplainsItself(t *testing.T) {
	m := load(t)
	require.Greater(t, len(m.Lines), 120)
	for _, line := range m.Lines {
		answers := m.Explain(line.Text)
		require.Len(t, answers, 1, line.Text)
		require.Equal(t, tidy(line.Text), tidy(answers[0].Line))
		require.InDelta(t, 1, answers[0].Likeness, 0)
		require.NotEqual(t, Unknown, answers[0].Kind)
		for _, place := range answers[0].Where {
			require.Equal(t, answers[0].Line, place.Text)
		}
	}
}

func TestVariantsAreUnderstood(t *testing.T) {
	m := load(t)
	for _, c := range []struct {
		name, old string
		kind      Kind
		by        string
		typed     string
	}{
		{"new spelling of compose", "docker compose up -d --no-deps universal-orchestrator", ByProcedure, "RollingRestart", `hive run RollingRestart --input '{"services":["universal-orchestrator"]}'`},
		{"another file", "docker compose -f prod.yml --env-file .env pull", ByProcedure, "RollingRestart", "hive plan RollingRestart"},
		{"another service", "docker-compose up -d --no-deps web", ByProcedure, "RollingRestart", `hive run RollingRestart --input '{"services":["web"]}'`},
		{"two services", "docker restart web-1 api-2", ByProcedure, "RollingRestart", `hive run RollingRestart --input '{"services":["web","api"],"force":true}'`},
		{"another number", "docker compose up --scale communication-hub=7 -d", ByProcedure, "ScaleService", `hive run ScaleService --input '{"service":"communication-hub","replicas":7}'`},
		{"scale joined", "docker-compose up -d --scale=web=2", ByProcedure, "ScaleService", `hive run ScaleService --input '{"service":"web","replicas":2}'`},
		{"another tail", "docker logs -n 200 leanvibe-communication-hub", ByVerb, "logs", "hive logs communication-hub --tail 200"},
		{"tail joined, followed", "sudo docker logs -f --tail=5 leanvibe-communication-hub-2", ByVerb, "logs", "hive logs communication-hub --tail 5"},
		{"compose logs", "docker compose -f x.yml logs --tail 30 web", ByVerb, "logs", "hive logs web --tail 30"},
		{"whole restart", "docker compose restart", ByProcedure, "RollingRestart", `hive run RollingRestart --input '{"force":true}'`},
		{"one restart", "docker compose restart web", ByProcedure, "RollingRestart", `hive run RollingRestart --input '{"services":["web"],"force":true}'`},
		{"a store restarted", "docker restart shop-postgres-1", Refused, "", "hive run ReadinessCheck"},
		{"a store among apps", "docker compose restart web redis", Refused, "", "hive run ReadinessCheck"},
		{"proxy restarted", "docker-compose restart nginx", Refused, "", "hive run ReadinessCheck"},
		{"python3 and a path", "python3 /opt/app/scripts/production_readiness_check.py", ByProcedure, "ReadinessCheck", "hive run ReadinessCheck"},
		{"another host", "curl -fsS -m 5 http://shop.example/health", ByProcedure, "ReadinessCheck", "hive run ReadinessCheck"},
		{"another endpoint name", "curl http://127.0.0.1:8080/healthz", ByProcedure, "ReadinessCheck", "hive run ReadinessCheck"},
		{"quoted query", `curl -s 'http://prometheus:9090/api/v1/query?query=rate(leanvibe_errors_total[15m])'`, ByProcedure, "ReadinessCheck", "hive run ReadinessCheck"},
		{"psql in a container", `docker exec -it pg psql -U app -d shop -c 'vacuum analyze'`, ByProcedure, "DatabaseMaintenance", "hive plan DatabaseMaintenance"},
		{"compose exec", `docker compose exec -T db psql -c "REINDEX DATABASE shop"`, ByProcedure, "DatabaseMaintenance", "hive plan DatabaseMaintenance"},
		{"one table", `psql shop -c "REINDEX TABLE orders"`, ByProcedure, "DatabaseMaintenance", "hive plan DatabaseMaintenance"},
		{"vacuum full is not vacuum", `psql -d shop -c "VACUUM FULL;"`, Refused, "", "hive run DatabaseMaintenance"},
		{"connections", `psql -h db -U app -c "select count(*) from pg_stat_activity"`, ByProcedure, "ReadinessCheck", "hive run ReadinessCheck"},
		{"flush", "redis-cli -h 10.0.0.3 -p 6380 flushdb", Refused, "", "hive run ReadinessCheck"},
		{"flush of all", "docker exec redis redis-cli FLUSHALL", Refused, "", "hive run ReadinessCheck"},
		{"cluster reset hard", "redis-cli cluster reset hard", Refused, "", "hive run ReadinessCheck"},
		{"prune with more", "docker system prune -af --volumes", ByProcedure, "LogManagement", "hive plan LogManagement"},
		{"down with volumes", "docker compose -f a.yml -f b.yml down --volumes", Refused, "", "hive run ReadinessCheck"},
		{"other days", `find ./logs -name '*.log' -mtime +14 -exec gzip {} \;`, ByProcedure, "LogManagement", "hive plan LogManagement"},
		{"other directory", `find /var/log/app -name "*.log.gz" -mtime +90 -delete`, ByProcedure, "LogManagement", "hive plan LogManagement"},
		{"another log file", "tail -f logs/app.log | grep ERROR", ByVerb, "logs", "hive logs --follow"},
		{"another count", "docker ps | grep shop | wc -l", ByProcedure, "ReadinessCheck", "hive run ReadinessCheck"},
		{"sleep", "sleep 120", ByProcedure, "RollingRestart", "hive run RollingRestart"},
		{"stats", "docker stats --no-stream web", ByVerb, "stats", "hive stats"},
		{"ps", "docker container ls", ByVerb, "status", "hive status"},
		{"a check item by heart", "no critical alerts in Grafana dashboard", ByProcedure, "ReadinessCheck", "hive run ReadinessCheck"},
		{"backup", "pg_dump shop | gzip > /backup/shop.sql.gz", NotYet, "", ""},
		{"rollback", "./deploy/migration/zero-downtime-migration.sh rollback", NotYet, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			answers := m.Explain(c.old)
			require.Len(t, answers, 1)
			a := answers[0]
			require.Equal(t, c.kind, a.Kind, "%+v", a)
			require.Equal(t, c.by, a.Procedure+a.Verb, "%+v", a)
			require.Less(t, a.Likeness, 1.01)
			if c.typed != "" {
				require.Equal(t, c.typed, a.Type[0])
			}
		})
	}
}

// What the runbook does not have is not answered with what it resembles.
func TestStrangersStayUnknown(t *testing.T) {
	m := load(t)
	for _, old := range []string{
		"kubectl get pods", "docker buildx build .", "psql -c 'SELECT name FROM users WHERE id = 7'", "curl https://shop.example/checkout",
		"find / -name core -delete", "redis-cli get session:1", "python scripts/import_orders.py", "docker run --rm -it alpine sh",
		"tail -n 100 /etc/hosts", "rm -rf /", "systemctl restart docker", "certbot certonly -d x", "Water the plants", "git pull", "", "   ", "'",
	} {
		answers := m.Explain(old)
		require.Len(t, answers, 1)
		require.Equal(t, Unknown, answers[0].Kind, "%q was taken for %q (%v)", old, answers[0].Line, answers[0].Likeness)
		require.LessOrEqual(t, len(answers[0].Nearest), hints)
		require.Empty(t, answers[0].Type)
	}
	require.Len(t, m.Explain("kubectl get pods")[0].Nearest, hints)
	require.Contains(t, m.Explain("dokcer sytsem df")[0].Nearest, "docker system df")
}

func TestACommandLineIsExplainedPartByPart(t *testing.T) {
	answers := load(t).Explain("docker compose pull && docker compose up -d --no-deps web; sleep 5\n# check\nkubectl get pods")
	var kinds []Kind
	for _, a := range answers {
		kinds = append(kinds, a.Kind)
	}
	require.Equal(t, []Kind{ByProcedure, ByProcedure, ByProcedure, Unknown}, kinds)
	require.Equal(t, "docker compose up -d --no-deps web", answers[1].Command)
}

// What is printed to be typed holds nothing of the old command that a shell would act on.
func TestNothingOfTheCommandReachesTheShell(t *testing.T) {
	for _, old := range []string{
		`docker restart 'web$(reboot)'`, "docker restart 'a;reboot'", "docker logs --tail '5;reboot' web", `docker compose up -d --scale "web'=3;reboot"`,
	} {
		for _, a := range load(t).Explain(old) {
			for _, typed := range a.Type {
				require.NotContains(t, typed, "reboot", old)
			}
		}
	}
}

func FuzzExplain(f *testing.F) {
	m, err := Load()
	require.NoError(f, err)
	for _, line := range m.Lines {
		f.Add(line.Text)
	}
	f.Add(`docker exec "$(`)
	f.Add(`docker`)
	f.Add(`docker compose`)
	f.Add(`a | | b && ; 2>&1 \`)
	f.Fuzz(func(t *testing.T, old string) {
		for _, a := range m.Explain(old) {
			require.GreaterOrEqual(t, a.Likeness, 0.0)
			require.LessOrEqual(t, a.Likeness, 1.0)
		}
	})
}
