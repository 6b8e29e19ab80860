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

// stacks are those that were not made for hive, as hive init leaves them.
const stacks = "../fixtures/stacks"

// adopted is a copy of a stack with what hive init writes beside it.
func adopted(t *testing.T, name string) (dir, file string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(stacks, name))))
	for _, written := range []string{"compose.hive.yaml", "runbook.yaml"} {
		require.NoError(t, os.Rename(filepath.Join(dir, "want", written), filepath.Join(dir, written)))
	}
	found, err := policy.Find(dir)
	require.NoError(t, err)
	return dir, filepath.Join(dir, found.Compose[0])
}

// Your file and ours beside it have the hashes that the CLI gives both together.
func TestHashOfTwoFilesIsTheCLIs(t *testing.T) {
	entries, err := os.ReadDir(stacks)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(entries), 3)
	for _, entry := range entries {
		t.Run(entry.Name(), func(t *testing.T) {
			dir, file := adopted(t, entry.Name())
			project, err := policy.Hand{ProjectDir: dir, Hash: docker.Hash, Untranslated: docker.Untranslated}.Project(t.Context())
			require.NoError(t, err)
			both := compose(t, "-f", file, "-f", filepath.Join(dir, "compose.hive.yaml"), "config", "--hash", "*")
			require.Equal(t, len(project.Services), strings.Count(both, "\n"), both)
			for name, svc := range project.Services {
				hash, err := docker.Hash(svc)
				require.NoError(t, err)
				require.Contains(t, both, name+" "+hash)
			}
			alone := compose(t, "-f", file, "config", "--hash", "*")
			if strings.Contains(read(t, filepath.Join(dir, "compose.hive.yaml")), ": !reset ") {
				require.NotEqual(t, alone, both, "what hive init takes back changes the service")
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(raw)
}
