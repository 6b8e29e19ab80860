package adopt

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// one looks at a stack of one text.
func one(t *testing.T, compose string, files map[string]string) *Proposal {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	file := filepath.Join(dir, "compose.yaml")
	require.NoError(t, os.WriteFile(file, []byte(compose), 0o600))
	p, err := Look(t.Context(), Options{File: file})
	require.NoError(t, err)
	return p
}

func (p *Proposal) service(t *testing.T, name string) Service {
	t.Helper()
	for _, s := range p.Services {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "no service "+name)
	return Service{}
}

func TestRolesAreGuessed(t *testing.T) {
	for _, c := range []struct {
		name, service string
		role          runbook.Role
		why           string
	}{
		{"store by image", "{image: 'registry.example.com:5000/library/postgres:16@sha256:0123456789012345678901234567890123456789012345678901234567890123'}", runbook.RoleStore, "image postgres is PostgreSQL"},
		{"store by account's name", "{image: acme/our-redis:1}", runbook.RoleStore, "image our-redis is Redis"},
		{"store by volume", "{image: acme/pg:1, volumes: ['data:/var/lib/postgresql/data']}", runbook.RoleStore, "it keeps data in /var/lib/postgresql/data"},
		{"store by port", "{image: acme/thing:1, expose: ['5432']}", runbook.RoleStore, "it listens on 5432"},
		{"exporter", "{image: acme/foo_exporter:1}", runbook.RoleMonitoring, "an exporter"},
		{"app by port", "{image: acme/web:1, ports: ['80:3000']}", runbook.RoleApp, "it listens on 3000"},
		{"app by health check", "{image: acme/web:1, healthcheck: {test: curl -f http://localhost:9000/up}}", runbook.RoleApp, "its health check asks /up"},
		{"app with worker processes", "{image: acme/web:1, command: gunicorn --workers 4 -k uvicorn.workers.UvicornWorker, expose: ['8000']}", runbook.RoleApp, "it listens on 8000"},
		{"worker by command", "{image: acme/web:1, command: ['bundle', 'exec', 'sidekiq']}", runbook.RoleWorker, `"sidekiq" in its name or command`},
		{"worker in a shell", "{image: acme/web:1, command: sh -c 'php artisan queue:work'}", runbook.RoleWorker, `"queue:work"`},
		{"worker by silence", "{image: acme/web:1}", runbook.RoleWorker, "it opens no port"},
		{"by the clock", "{image: acme/web:1, command: celery beat}", runbook.RoleWorker, `"beat"`},
		{"once", "{image: acme/web:1, command: rails db:migrate}", runbook.RoleWorker, "it runs once"},
		{"not once, it is restarted", "{image: acme/web:1, command: run migrate, restart: always}", runbook.RoleWorker, "it opens no port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := one(t, "services:\n  it: "+c.service+"\nvolumes: {data: {}}\n", nil).service(t, "it")
			require.Equal(t, c.role, s.Role)
			require.Contains(t, s.Why, c.why)
			require.Equal(t, 2, s.Line)
			if s.Role == runbook.RoleWorker {
				require.Nil(t, s.probe, "a foreign worker is never rolled unasked")
				require.Equal(t, s.once, len(s.Bars) == 0, "what runs once is no matter of a roll")
			}
		})
	}
}

func TestABuildIsKnownByItsLastStage(t *testing.T) {
	p := one(t, "services:\n  db: {build: ./db}\n  door: {build: {context: ./door, dockerfile: Dockerfile.prod}, ports: ['80:80']}\n", map[string]string{
		"db/Dockerfile":        "FROM golang:1.26 AS build\nRUN x\nFROM --platform=linux/amd64 postgres:16 AS base\nFROM base\n",
		"door/Dockerfile.prod": "FROM nginx:1.29.1\n",
	})
	require.Equal(t, runbook.RoleStore, p.service(t, "db").Role)
	require.Equal(t, runbook.RoleProxy, p.service(t, "door").Role)
	require.Len(t, p.Notes, 1)
	require.Contains(t, p.Notes[0], "name it with --proxy-conf")
}

func TestOtherProxiesAreNamedAsNotServed(t *testing.T) {
	for _, kind := range []string{"traefik", "caddy", "haproxy", "envoy", "kong", "nginx-proxy"} {
		p := one(t, fmt.Sprintf("services:\n  edge: {image: 'acme/%s:3', ports: ['80:80']}\n  web: {image: acme/web:1, expose: ['80'], deploy: {replicas: 2}}\n", kind), nil)
		require.Equal(t, runbook.RoleProxy, p.service(t, "edge").Role)
		require.Equal(t, kind, p.Proxy.Kind)
		require.Contains(t, p.service(t, "web").Bars[0].What, kind+" is not served yet, only nginx is")
		require.Contains(t, p.Files[1].Text, "No proxy section: edge is "+kind+", which is not served")
		for _, a := range p.Abilities {
			require.False(t, a.Procedure == "RollingRestart" && a.Possible)
		}
	}
}

// Lines are those of the file as written, through anchors and merges.
func TestBarsAreFoundWhereTheyStand(t *testing.T) {
	p := one(t, `x-base: &base
  image: acme/web:1
  container_name: web
services:
  web:
    <<: *base
    ports:
      - target: 80
        published: 8080
      - "9000:9000"
    scale: 1
    network_mode: bridge
    links: [db]
  db: {image: "postgres:16", container_name: db, ports: ["5432:5432"]}
`, nil)
	got := map[int]string{}
	for _, b := range p.service(t, "web").Bars {
		got[b.Line] += b.What + "\n"
	}
	require.Contains(t, got[3], "container_name web")
	require.Contains(t, got[8], "host port 8080")
	require.Contains(t, got[10], "host port 9000")
	require.Contains(t, got[11], "1 replica")
	require.Contains(t, got[13], "links")
	require.Empty(t, p.service(t, "db").Bars, "a store is never rolled, so nothing bars it")
}

// A published port of a service without a route is how users come in: it stays.
func TestOnlyARoutedServiceLosesItsPorts(t *testing.T) {
	p := one(t, `services:
  nginx: {image: "nginx:1.28", ports: ["80:80"], volumes: ["./n.conf:/etc/nginx/nginx.conf"]}
  web: {image: acme/web:1, ports: ["1:80"], container_name: web, scale: 1}
  side: {image: acme/side:1, ports: ["2:80"], container_name: side}
`, map[string]string{"n.conf": "http { server { location / { proxy_pass http://web; } } }"})
	require.Contains(t, p.Files[0].Text, "scale: 2")
	for _, b := range p.service(t, "web").Bars {
		require.Equal(t, b.What != "no health check: that it runs is all the engine knows of it", b.Lifted, b.What)
	}
	for _, b := range p.service(t, "side").Bars {
		require.False(t, b.Lifted, b.What)
	}
}
