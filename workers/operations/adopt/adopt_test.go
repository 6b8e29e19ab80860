package adopt

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/workflows/runbook"
)

var update = flag.Bool("update", false, "write what is wanted anew, to be read before it is believed")

// stacks were not made for hive: two web replicas behind nginx with PostgreSQL and
// Redis, bare (pair) and with workers beside them (shop); container_name and fixed
// ports everywhere (fixed); no nginx (plain).
var stacks = map[string]string{"shop": "compose.yaml", "pair": "compose.yaml", "fixed": "docker-compose.yml", "plain": "compose.yml"}

const fixtures = "../../../tests/fixtures/stacks"

// copied is a stack of its own for a test, without what is wanted of it.
func copied(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(fixtures, name))))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "want")))
	return dir
}

func look(t *testing.T, name string) (*Proposal, string) {
	t.Helper()
	dir := copied(t, name)
	p, err := Look(t.Context(), Options{File: filepath.Join(dir, stacks[name]), Timezone: "Europe/Berlin"})
	require.NoError(t, err)
	return p, dir
}

func TestForeignStacksAreUnderstood(t *testing.T) {
	for name := range stacks {
		t.Run(name, func(t *testing.T) {
			p, dir := look(t, name)
			got := map[string][]byte{OverrideFile: []byte(p.Files[0].Text), PolicyFile: []byte(p.Files[1].Text), "nginx.diff": []byte(p.Proxy.Diff)}
			p.Files = nil
			p.Proxy.Diff, p.Refused = "", ""
			report, err := json.MarshalIndent(p, "", "  ")
			require.NoError(t, err)
			got["proposal.json"] = append(bytes.ReplaceAll(report, []byte(dir+"/"), nil), '\n')
			for file, have := range got {
				want := filepath.Join(fixtures, name, "want", file)
				if *update {
					require.NoError(t, os.MkdirAll(filepath.Dir(want), 0o755))
					require.NoError(t, os.WriteFile(want, have, 0o600))
				}
				expected, err := os.ReadFile(want)
				require.NoError(t, err)
				require.Equal(t, string(expected), string(have), file)
				require.NotContains(t, string(have), "canary-password", file)
			}
		})
	}
}

// What was written is what procedures read: the policy's own hand takes both files of
// every stack as they lie, and finds in them what the proposal says of each service.
func TestProceduresTakeWhatWasWritten(t *testing.T) {
	for name, c := range map[string]struct{ proxy, database, cache, metrics bool }{
		"shop": {proxy: true, database: true, cache: true}, "fixed": {proxy: true, database: true, cache: true, metrics: true}, "plain": {},
		"pair": {proxy: true, database: true, cache: true},
	} {
		t.Run(name, func(t *testing.T) {
			p, dir := look(t, name)
			require.Empty(t, p.Refused)
			require.NoError(t, p.Write())
			loaded := throughPolicy(t, dir)
			require.Equal(t, p.Project, loaded.Stack.Project)
			require.Equal(t, c.proxy, loaded.Policy.Proxy.Declared())
			require.Equal(t, c.database, loaded.Policy.Database.Declared())
			require.Equal(t, c.cache, loaded.Policy.Cache.Declared())
			require.Equal(t, c.metrics, loaded.Policy.Metrics != runbook.MetricsPolicy{})
			require.DirExists(t, filepath.Join(dir, loaded.Policy.Logs.Directory))
			for _, svc := range p.Services {
				known, ok := loaded.Stack.Service(svc.Name)
				require.True(t, ok)
				require.Equal(t, svc.Role, known.Role)
				open := slices.ContainsFunc(svc.Bars, func(b Bar) bool { return !b.Lifted && !soft(b) })
				require.Equal(t, open, len(known.Bars) > 0, "%s: %+v %v", svc.Name, svc.Bars, known.Bars)
			}
		})
	}
}

func TestNothingIsWrittenByLooking(t *testing.T) {
	for name := range stacks {
		p, dir := look(t, name)
		require.NotEmpty(t, p.Files)
		require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				relative, _ := filepath.Rel(dir, path)
				want, readErr := os.ReadFile(filepath.Join(fixtures, name, relative))
				require.NoError(t, readErr, "%s was made", relative)
				have, readErr := os.ReadFile(path)
				require.NoError(t, readErr)
				require.Equal(t, string(want), string(have))
			}
			return err
		}))
	}
}

// together reads the operator's file and ours as docker compose does.
func together(t *testing.T, dir, file string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(dir, file), filepath.Join(dir, OverrideFile)}, cli.WithWorkingDirectory(dir))
	require.NoError(t, err)
	project, err := options.LoadProject(context.Background())
	require.NoError(t, err)
	return project
}

// The two files together have none of the lines that barred a roll, and the policy's
// own reader finds no bar in them.
func TestTheOverrideLiftsWhatItSays(t *testing.T) {
	for _, c := range []struct{ stack, service string }{{"shop", "web"}, {"fixed", "api"}, {"fixed", "frontend"}, {"pair", "web"}} {
		t.Run(c.service, func(t *testing.T) {
			p, dir := look(t, c.stack)
			require.NoError(t, p.Write())
			project := together(t, dir, stacks[c.stack])
			svc := project.Services[c.service]
			require.Empty(t, svc.ContainerName)
			require.Empty(t, svc.Ports)
			require.Equal(t, 2, svc.GetScale())
			require.Len(t, project.Services[p.Proxy.Service].Volumes, 3)

			loaded := throughPolicy(t, dir)
			known, ok := loaded.Stack.Service(c.service)
			require.True(t, ok)
			require.Empty(t, known.Bars)
			require.Equal(t, runbook.RoleApp, known.Role)
			require.Equal(t, c.service, known.Upstream)
			require.Equal(t, "Europe/Berlin", loaded.Policy.Timezone)
			require.Equal(t, "hive/upstreams", loaded.Policy.Proxy.AddressDir)
		})
	}
}

// Procedures look for a compose file under the names that docker compose looks for.
func TestAFileThatProceduresWouldNotFindIsNamed(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"stack.yaml", "compose.override.yaml"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("services: {a: {image: b}}\n"), 0o600))
	}
	p, err := Look(t.Context(), Options{File: filepath.Join(dir, "stack.yaml")})
	require.NoError(t, err)
	notes := strings.Join(p.Notes, "\n")
	require.Contains(t, notes, "give stack.yaml such a name")
	require.Contains(t, notes, "compose.override.yaml is there")
	p, _ = look(t, "shop")
	require.NotContains(t, strings.Join(p.Notes, "\n"), "such a name")
}

// A stack without a proxy keeps everything by which its users reach it.
func TestWithoutAProxyNothingIsTakenBack(t *testing.T) {
	p, dir := look(t, "plain")
	require.NoError(t, p.Write())
	svc := together(t, dir, stacks["plain"]).Services["app"]
	require.Len(t, svc.Ports, 1)
	require.Equal(t, 1, svc.GetScale())
	require.Equal(t, map[string]any{"role": "app", "order": 10, "probe": map[string]any{"port": 8080}}, svc.Extensions["x-hive"])
	require.Empty(t, p.Proxy.Diff)
	for _, a := range p.Abilities {
		require.Equal(t, a.Procedure == "ReadinessCheck" || a.Procedure == "LogManagement" || a.Procedure == "WeeklyMaintenance", a.Possible, "%+v", a)
	}
}

// throughPolicy reads a written proposal as procedures do.
func throughPolicy(t *testing.T, dir string) runbook.LoadPolicyOutput {
	t.Helper()
	loaded, err := policy.Hand{ProjectDir: dir, Hash: docker.Hash, Untranslated: docker.Untranslated}.Load(t.Context(), runbook.LoadPolicyInput{Run: "test"})
	require.NoError(t, err)
	return loaded
}

func TestWhatExistsIsNotOverwritten(t *testing.T) {
	for _, taken := range []string{OverrideFile, PolicyFile, "nginx/nginx.conf.before-hive"} {
		p, dir := look(t, "shop")
		require.NoError(t, os.WriteFile(filepath.Join(dir, taken), []byte("mine"), 0o600))
		err := p.Write()
		require.ErrorContains(t, err, taken)
		require.ErrorContains(t, err, "nothing was written")
		have, err := os.ReadFile(filepath.Join(dir, taken))
		require.NoError(t, err)
		require.Equal(t, "mine", string(have))
		require.NoDirExists(t, filepath.Join(dir, "hive"))
		conf, err := os.ReadFile(filepath.Join(dir, "nginx/nginx.conf"))
		require.NoError(t, err)
		require.NotContains(t, string(conf), "hive")
	}
}

// A second look at a stack that took the proposal over finds nothing left to change,
// and still knows who is reached how.
func TestATakenOverStackNeedsNoSecondChange(t *testing.T) {
	p, dir := look(t, "shop")
	require.NoError(t, p.Write())
	original, err := os.ReadFile(filepath.Join(dir, "nginx/nginx.conf.before-hive"))
	require.NoError(t, err)
	want, err := os.ReadFile(filepath.Join(fixtures, "shop/nginx/nginx.conf"))
	require.NoError(t, err)
	require.Equal(t, string(want), string(original))

	again, err := Look(t.Context(), Options{File: filepath.Join(dir, "compose.yaml"), Timezone: "Europe/Berlin"})
	require.NoError(t, err)
	require.Empty(t, again.Proxy.Diff)
	require.Equal(t, strings.ReplaceAll(p.Files[0].Text, "nginx.conf:22", "nginx.conf:45"), again.Files[0].Text)
	require.True(t, again.Files[0].Exists)
}

func TestBadInputIsNamed(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	write(".env", "TOKEN=canary-password-81\n")
	for _, c := range []struct{ name, file, conf, want string }{
		{"no file", filepath.Join(dir, "nowhere.yaml"), "", "does not exist: name the compose file of your stack"},
		{"no compose", write("a.yaml", "service: {}\n"), "", "docker compose would refuse it"},
		{"a secret in the message", write("b.yaml", "services:\n  a: {image: b, ports: [\"${TOKEN}\"]}\n"), "", "•••"},
		{"no services", write("c.yaml", "services: {}\n"), "", "has no service that starts by itself"},
		{"conf without a proxy", write("d.yaml", "services: {a: {image: b}}\n"), "x.conf", "no service of the stack is a proxy"},
		{"conf of another proxy", write("e.yaml", "services: {a: {image: traefik:v3}}\n"), "x.conf", "a is traefik, and only nginx is served yet"},
		{"conf away", write("f.yaml", "services: {a: {image: nginx}}\n"), filepath.Join(dir, "x.conf"), "x.conf cannot be read"},
		{"conf broken", write("g.yaml", "services: {a: {image: nginx}}\n"), write("y.conf", "http {\n  server { listen 80 }\n}\n"), "y.conf:2: a directive without its \";\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Look(t.Context(), Options{File: c.file, ProxyConf: c.conf})
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "canary-password")
		})
	}
}
