package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/activities/policy"
)

// The hash of each service is the CLI's own, so that `docker compose up` takes our
// containers for what it would have made.
func TestHashIsTheCLIs(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	project := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(project, "deploy"), os.DirFS(filepath.Join(root, "deploy"))))
	stack := filepath.Join(project, policy.ComposeFile)
	require.NoError(t, os.WriteFile(filepath.Join(project, policy.EnvFile), []byte("HUB_IMAGE=local/hub@sha256:"+strings.Repeat("0", 64)+"\n"), 0o600))
	platform := filepath.Join(project, "deploy/platform/docker-compose.platform.yml")
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(platform), ".env"), []byte("HIVE_PROJECT_DIR="+project+"\n"), 0o600))

	for name, file := range map[string]string{
		"the shipped stack": stack, "the platform": platform, "rich": fixture(t, "rich.yaml"), "small": fixture(t, "small.yaml"),
	} {
		t.Run(name, func(t *testing.T) {
			compared := 0
			ours := load(t, file)
			for line := range strings.Lines(compose(t, "-f", file, "config", "--hash", "*")) {
				service, theirs, ok := strings.Cut(strings.TrimSpace(line), " ")
				require.True(t, ok, line)
				hash, err := docker.Hash(ours.Services[service])
				require.NoError(t, err)
				require.Equal(t, theirs, hash, service)
				compared++
			}
			require.Len(t, ours.Services, compared)
			require.Positive(t, compared)
		})
	}
	t.Run("through the policy", func(t *testing.T) {
		p, err := policy.Hand{ProjectDir: project, Hash: docker.Hash, Untranslated: docker.Untranslated}.Project(t.Context())
		require.NoError(t, err)
		theirs := compose(t, "-f", stack, "config", "--hash", "*")
		for _, name := range p.ServiceNames() {
			hash, err := docker.Hash(p.Services[name])
			require.NoError(t, err)
			require.Contains(t, theirs, name+" "+hash)
			require.Empty(t, docker.Untranslated(p.Services[name]), "the shipped stack can be rolled")
		}
	})
}

func fixture(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata")))
	return filepath.Join(dir, name)
}
