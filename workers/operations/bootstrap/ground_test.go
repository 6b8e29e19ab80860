package bootstrap

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/workflows/runbook"
)

// shopOf is a project directory of a stack that is not Agent Hive.
func shopOf(t *testing.T, policy string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	require.NoError(t, os.Mkdir(dir, 0o755))
	for name, body := range map[string]string{"compose.yaml": "services:\n  db: {image: postgres, x-hive: {role: store}}\n", "runbook.yaml": policy} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600))
	}
	return dir
}

func TestTheSourcesAreFound(t *testing.T) {
	root := repositoryRoot(t)
	for name, c := range map[string]struct{ named, project, want string }{
		"the project itself": {"", root, root},
		"named":              {root, t.TempDir(), root},
		"named wrongly":      {t.TempDir(), root, ""},
		"nowhere":            {"", t.TempDir(), ""}, // the tests' program lies in no clone
	} {
		t.Run(name, func(t *testing.T) {
			found, err := Sources(c.named, c.project)
			if c.want == "" {
				require.ErrorContains(t, err, "the directory that hive was cloned into")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, found)
		})
	}
	found, err := around(filepath.Join(root, "out", "bin", "hive"))
	require.NoError(t, err)
	require.Equal(t, root, found)
}

func TestTheGroundOfTheRepositorysOwnStack(t *testing.T) {
	root := repositoryRoot(t)
	g, err := standOn(t.Context(), root, "")
	require.NoError(t, err)
	require.True(t, g.own())
	require.Equal(t, "leanvibe", g.stack)
	_, err = standOn(t.Context(), copyOfSources(t), root)
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	require.ErrorContains(t, err, "leave --hive out")

	p, err := g.platform(t.Context())
	require.NoError(t, err)
	for _, volume := range []string{"registry", "ledger", "temporal"} {
		require.Equal(t, "hive-platform_"+volume, p.Volumes[volume].Name, "as compose names it, so that data of earlier versions is found")
	}
	require.Equal(t, filepath.Join(root, "secrets/ledger_owner_password"), p.Secrets["ledger_owner_password"].File)
	require.Len(t, (&up{ground: g}).phases(), 14)
}

// copyOfSources is a project in the repository's layout, of other sources.
func copyOfSources(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{policy.RunbookFile, policy.ComposeFile} {
		raw, err := os.ReadFile(filepath.Join(repositoryRoot(t), file))
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), raw, 0o600))
	}
	return dir
}

func TestTheGroundOfAnotherStack(t *testing.T) {
	root, dir := repositoryRoot(t), shopOf(t, "timezone: UTC\n")
	_, err := standOn(t.Context(), dir, "")
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	require.ErrorContains(t, err, "--hive")
	g, err := standOn(t.Context(), dir, root)
	require.NoError(t, err)
	require.False(t, g.own())

	p, err := g.platform(t.Context())
	require.NoError(t, err)
	require.Equal(t, "hive-platform", p.Name)
	require.Equal(t, "hive-platform-shop_ledger", p.Volumes["ledger"].Name, "its own ledger")
	require.Equal(t, filepath.Join(dir, "secrets/ledger_owner_password"), p.Secrets["ledger_owner_password"].File)
	require.Equal(t, dir, *p.Services["opsworker"].Environment["HIVE_PROJECT_DIR"])

	u := &up{ground: g, services: p}
	var names []string
	for _, phase := range u.phases() {
		names = append(names, phase.name)
	}
	require.Equal(t, []string{"check", "images", "secrets", "networks and volumes", "registry", "ledger", "platform"}, names)
	require.Len(t, u.made(), 1, "the stack is somebody else's")
	variables := g.platformVariables(local, nil)
	require.Equal(t, map[string]string{"HIVE_PROJECT_DIR": dir, "HIVE_DATA": "hive-platform-shop", "HIVE_IMAGES": "local"}, variables)

	d := &down{ground: g, services: p}
	require.NoError(t, d.choose(t.Context()))
	require.Equal(t, []string{"hive-platform"}, d.projects)
	require.True(t, d.ours("hive-platform-shop_temporal"))
	require.False(t, d.ours("hive-platform_temporal"))
	for _, file := range d.written() {
		require.NotContains(t, []string{"postgres_password", "redis_password", "hive.key"}, filepath.Base(file), "what is not hive's stays")
	}

	_, err = standOn(t.Context(), t.TempDir(), root)
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
}

func TestPasswordsOfAnotherStackMustBeThere(t *testing.T) {
	dir := shopOf(t, "database: {service: db, name: shop, user: shop}\ncache: {services: [db], password_file: \"\"}\n")
	u := &up{ground: ground{dir: dir}}
	var err error
	u.policy, err = policy.Hand{ProjectDir: dir}.Policy()
	require.NoError(t, err)
	err = u.passwordsThere()
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	require.ErrorContains(t, err, "secrets/postgres_password does not exist: write the password of shop into it")
	require.NotContains(t, err.Error(), "redis_password")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "secrets"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets", "postgres_password"), []byte("x"), 0o600))
	require.NoError(t, u.passwordsThere())

	u.policy = runbook.Policy{Database: runbook.DatabasePolicy{PasswordFile: "secrets/nobody"}, Cache: runbook.CachePolicy{PasswordFile: "secrets/nobody"}}
	require.NoError(t, u.passwordsThere(), "a section that is not there has no password")
}

// engine answers for the containers of the platform.
type engine struct {
	client.APIClient
	containers []container.Summary
	env        []string
}

func (e engine) ContainerList(context.Context, container.ListOptions) ([]container.Summary, error) {
	return e.containers, nil
}

func (e engine) ContainerInspect(context.Context, string) (container.InspectResponse, error) {
	return container.InspectResponse{Config: &container.Config{Env: e.env}}, nil
}

// One machine has one platform: whoever it serves must let go of it first.
func TestAnotherProjectsPlatformIsRefusedByName(t *testing.T) {
	root, other := repositoryRoot(t), shopOf(t, "timezone: UTC\n")
	g, err := standOn(t.Context(), shopOf(t, "timezone: UTC\n"), root)
	require.NoError(t, err)
	p, err := g.platform(t.Context())
	require.NoError(t, err)
	worker := container.Summary{ID: "w", Labels: map[string]string{serviceLabel: "opsworker"}}
	holding := func(volume string) container.Summary {
		return container.Summary{ID: "t", Labels: map[string]string{serviceLabel: "temporal"}, Mounts: []container.MountPoint{
			{Type: mount.TypeVolume, Name: volume}, {Type: mount.TypeVolume, Name: "0123456789abcdef"}, {Type: mount.TypeBind, Source: "/x"},
		}}
	}
	for name, c := range map[string]struct {
		engine engine
		want   string
	}{
		"nobody's":              {engine{}, ""},
		"ours":                  {engine{containers: []container.Summary{worker, holding("hive-platform-shop_temporal")}, env: []string{"A=b", "HIVE_PROJECT_DIR=" + g.dir}}, ""},
		"another's":             {engine{containers: []container.Summary{worker}, env: []string{"HIVE_PROJECT_DIR=" + other}}, "the platform serves project shop in " + other + " now"},
		"Agent Hive's":          {engine{containers: []container.Summary{worker}, env: []string{"HIVE_PROJECT_DIR=" + root}}, "the platform serves project leanvibe in " + root + " now"},
		"one that has gone":     {engine{containers: []container.Summary{worker}, env: []string{"HIVE_PROJECT_DIR=/nowhere/at/all"}}, ""},
		"half of it taken down": {engine{containers: []container.Summary{holding("hive-platform_temporal")}}, "temporal of the platform holds the data of another project (volume hive-platform_temporal)"},
	} {
		t.Run(name, func(t *testing.T) {
			err := g.alone(t.Context(), c.engine, p)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, runbook.Refused, runbook.KindOf(err))
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "hive down")
		})
	}
}

// Two clones of the repository are the same two projects to the engine.
func TestAnotherCloneOfTheRepositoryIsNotAnotherProject(t *testing.T) {
	g, err := standOn(t.Context(), repositoryRoot(t), "")
	require.NoError(t, err)
	p, err := g.platform(t.Context())
	require.NoError(t, err)
	worker := container.Summary{ID: "w", Labels: map[string]string{serviceLabel: "opsworker"}}
	serving := func(dir string) error {
		return g.alone(t.Context(), engine{containers: []container.Summary{worker}, env: []string{"HIVE_PROJECT_DIR=" + dir}}, p)
	}
	require.NoError(t, serving(copyOfSources(t)))
	other := shopOf(t, "timezone: UTC\n")
	require.ErrorContains(t, serving(other), "project shop in "+other)
}
