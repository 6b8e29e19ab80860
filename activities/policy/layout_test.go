package policy

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// foreignCompose is the small stack as somebody wrote it who knows nothing of hive.
const foreignCompose = `services:
  web:
    image: example/web:1
    container_name: web
    ports: ["8080:80"]
    environment: {PASSWORD: ` + canary + `}
  nginx: {image: nginx}
  db: {image: postgres}
`

// override is what hive init writes beside it.
const override = `services:
  web:
    container_name: !reset null
    ports: !reset []
    deploy: {replicas: 2}
    x-hive:
      role: app
      probe: {http: /ready, port: 80}
      proxy: {upstream: web}
  nginx: {x-hive: {role: proxy}}
  db: {x-hive: {role: store}}
`

const foreignPolicy = `proxy: {service: nginx, url: "http://127.0.0.1:8080"}
database: {service: db, name: shop, user: shop}
cache: {services: [db]}
metrics: {prometheus: "http://127.0.0.1:9090", alertmanager: "http://127.0.0.1:9093"}
`

// foreign makes a project directory of files in its root.
func foreign(t *testing.T, files map[string]string) Hand {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	for name, body := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(body), 0o600))
	}
	return Hand{ProjectDir: dir, Hash: hash, Untranslated: untranslated}
}

func TestFilesAreFound(t *testing.T) {
	own := []string{RunbookFile, ComposeFile}
	for name, c := range map[string]struct {
		files   []string
		runbook string
		compose []string
	}{
		"the repository's":            {own, RunbookFile, []string{ComposeFile}},
		"the repository's first":      {append([]string{"runbook.yaml", "compose.yaml"}, own...), RunbookFile, []string{ComposeFile}},
		"in the root":                 {[]string{"runbook.yaml", "compose.yaml"}, "runbook.yaml", []string{"compose.yaml"}},
		"with what hive must know":    {[]string{"runbook.yaml", "compose.yml", "compose.hive.yaml"}, "runbook.yaml", []string{"compose.yml", "compose.hive.yaml"}},
		"an older name":               {[]string{"runbook.yaml", "docker-compose.yml"}, "runbook.yaml", []string{"docker-compose.yml"}},
		"compose's own preference":    {[]string{"runbook.yaml", "docker-compose.yml", "compose.yaml", "docker-compose.yaml"}, "runbook.yaml", []string{"compose.yaml"}},
		"a policy in the root counts": {[]string{"runbook.yaml", "compose.yaml", ComposeFile}, "runbook.yaml", []string{"compose.yaml"}},
		"no policy yet":               {[]string{"compose.yaml"}, "runbook.yaml", []string{"compose.yaml"}},
		"no stack yet":                {[]string{"runbook.yaml"}, "runbook.yaml", []string{"compose.yaml"}},
		"no policy yet, shipped":      {[]string{ComposeFile}, RunbookFile, []string{ComposeFile}},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{}
			for _, f := range c.files {
				files[f] = ""
			}
			found, err := Find(foreign(t, files).ProjectDir)
			require.NoError(t, err)
			require.Equal(t, c.runbook, found.Runbook)
			require.Equal(t, c.compose, found.Compose)
			require.Equal(t, c.runbook == RunbookFile, found.Own)
		})
	}
}

func TestADirectoryWithoutBothIsRefused(t *testing.T) {
	h := foreign(t, map[string]string{"compose.hive.yaml": override, "README": ""})
	_, err := h.Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
	for _, want := range []string{"shop is no project of hive", RunbookFile + " or runbook.yaml", "compose.yaml, compose.yml", "hive init"} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), h.ProjectDir, "a path of the machine helps nobody")
	_, err = h.Policy()
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
	_, err = h.Project(context.Background())
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
	_, err = h.ComposeFiles()
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
}

func TestOneOfBothIsNamedAsMissing(t *testing.T) {
	_, err := foreign(t, map[string]string{"compose.yaml": foreignCompose}).Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
	require.ErrorContains(t, err, "runbook.yaml does not exist; ")
	_, err = foreign(t, map[string]string{"runbook.yaml": foreignPolicy}).Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
	require.ErrorContains(t, err, "compose.yaml does not exist; ")
}

func TestTwoFilesAreOneStack(t *testing.T) {
	h := foreign(t, map[string]string{
		"runbook.yaml": foreignPolicy, "compose.yml": foreignCompose, "compose.hive.yaml": override,
		".env": "COMPOSE_PROJECT_NAME=named-by-env\n",
	})
	out, err := h.Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
	require.NoError(t, err)
	require.Equal(t, "named-by-env", out.Stack.Project)
	require.Equal(t, "hive/upstreams", out.Policy.Proxy.AddressDir)
	web, ok := out.Stack.Service("web")
	require.True(t, ok)
	require.Empty(t, web.Bars, "the second file takes back what bars")
	require.Equal(t, 2, web.Replicas)

	project, err := h.Project(context.Background())
	require.NoError(t, err)
	files := []string{filepath.Join(h.ProjectDir, "compose.yml"), filepath.Join(h.ProjectDir, "compose.hive.yaml")}
	require.Equal(t, files, project.ComposeFiles)
	require.Equal(t, h.ProjectDir, project.WorkingDir)
	named, err := h.ComposeFiles()
	require.NoError(t, err)
	require.Equal(t, files, named)
	back, err := readBack(filepath.Join(h.ProjectDir, out.Stack.Compose))
	require.NoError(t, err)
	again, err := hash(back.Services["web"])
	require.NoError(t, err)
	require.Equal(t, web.ConfigHash, again)
}

// A stack without a proxy, a database, a Redis or metrics has no such section.
func TestSectionsMayBeLeftOut(t *testing.T) {
	h := foreign(t, map[string]string{
		"runbook.yaml": "timezone: UTC\n", "compose.yaml": "services:\n  web: {image: web, x-hive: {role: app, probe: {port: 80}}}\n",
	})
	out, err := h.Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
	require.NoError(t, err)
	p := out.Policy
	require.False(t, p.Proxy.Declared() || p.Database.Declared() || p.Cache.Declared())
	require.Empty(t, p.Metrics)
	web, _ := out.Stack.Service("web")
	require.Contains(t, strings.Join(web.Bars, "\n"), "no proxy in the policy")

	p, err = foreign(t, map[string]string{"runbook.yaml": foreignPolicy}).Policy()
	require.NoError(t, err)
	require.True(t, p.Proxy.Declared() && p.Database.Declared() && p.Cache.Declared() && p.Cache.Clustered())
	p, err = foreign(t, map[string]string{"runbook.yaml": "cache: {services: [redis], cluster: false, password_file: \"\"}\nmetrics: {alertmanager: http://127.0.0.1:9093}\n"}).Policy()
	require.NoError(t, err)
	require.False(t, p.Cache.Clustered())
	require.Empty(t, p.Cache.PasswordFile)
	require.Empty(t, p.Metrics.Prometheus)
}

// A service that runs to its end is never rolled, so nothing bars it from that.
func TestAServiceThatRunsOnce(t *testing.T) {
	out, err := foreign(t, map[string]string{
		"runbook.yaml": "timezone: UTC\n", "compose.yaml": "services:\n  migrate: {image: web, container_name: migrate, x-hive: {role: worker, once: true}}\n",
	}).Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
	require.NoError(t, err)
	migrate, _ := out.Stack.Service("migrate")
	require.True(t, migrate.Once)
	require.False(t, migrate.Rolled())
	require.Empty(t, migrate.Bars)
}

func TestTheDirectoryNamesAStackWithoutAName(t *testing.T) {
	project, err := foreign(t, map[string]string{"runbook.yaml": foreignPolicy, "compose.yml": foreignCompose}).Project(context.Background())
	require.NoError(t, err)
	require.Equal(t, "shop", project.Name)
}

func TestMistakesNameTheFileTheyStandIn(t *testing.T) {
	for name, c := range map[string]struct{ file, old, new, want string }{
		"in what hive must know": {"compose.hive.yaml", "port: 80}", "port: none}", `compose.hive.yaml:8:29: services.web.x-hive.probe.port: got "none"`},
		"nothing known":          {"compose.hive.yaml", "  db: {x-hive: {role: store}}\n", "", "compose.yaml:8:3: services.db.x-hive: missing"},
		"in the first file":      {"compose.yaml", "  db: {image: postgres}\n", "  db: {image: postgres, x-hive: {backup: warm}}\n", `compose.yaml:8:34: services.db.x-hive.backup: got "warm"`},
		"at the top":             {"compose.hive.yaml", "services:\n", "x-hive: {}\nservices:\n", "compose.hive.yaml:1:1: x-hive: stands at the top"},
		"no YAML":                {"compose.hive.yaml", "role: app", "role: [app", "compose.hive.yaml:"},
		"no Compose":             {"compose.hive.yaml", "replicas: 2", "replicas: two", "compose.yaml with compose.hive.yaml: docker compose would refuse it"},
		"a service that is away": {"runbook.yaml", "service: db", "service: store", "runbook.yaml:2:21: database.service: no service store in compose.yaml with compose.hive.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"runbook.yaml": foreignPolicy, "compose.yaml": foreignCompose, "compose.hive.yaml": override}
			require.Contains(t, files[c.file], c.old)
			files[c.file] = strings.Replace(files[c.file], c.old, c.new, 1)
			_, err := foreign(t, files).Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
			require.Equal(t, runbook.Refused, runbook.KindOf(err), "%v", err)
			require.Contains(t, runbook.Reason(err), c.want)
			require.NotContains(t, err.Error(), canary)
		})
	}
}
