package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

func TestHashLeavesOutWhatMakesNoOtherContainer(t *testing.T) {
	plain := types.ServiceConfig{ContainerSpec: types.ContainerSpec{Image: "a"}, Deploy: &types.DeployConfig{}}
	want, err := Hash(plain)
	require.NoError(t, err)
	two := 2
	same := plain
	same.Scale, same.PullPolicy, same.Profiles = &two, "always", []string{"x"}
	same.Build = &types.BuildConfig{Context: "."}
	same.DependsOn = types.DependsOnConfig{"b": {}}
	same.Deploy = &types.DeployConfig{Replicas: &two}
	got, err := Hash(same)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NotNil(t, same.Deploy.Replicas, "the service itself is left as it is")

	other := plain
	other.Image = "b"
	got, err = Hash(other)
	require.NoError(t, err)
	require.NotEqual(t, want, got)
}

func TestInOrder(t *testing.T) {
	out, err := inOrder([]byte(`{"b": 1, "z":{"q": [1, 2]},"a":"x","y":null}`), []string{"z", "none", "b"})
	require.NoError(t, err)
	require.Equal(t, `{"z":{"q": [1, 2]},"b":1,"a":"x","y":null}`, string(out)) //nolint:testifylint // the order is the point
}

// A run's copy of the resolved file gives the same hashes as the file itself.
func TestTheCopyKeepsTheHashes(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	for _, file := range []string{
		"deploy/production/docker-compose.production.yml", "deploy/platform/docker-compose.platform.yml",
		"tests/integration/testdata/rich.yaml", "tests/integration/testdata/small.yaml",
	} {
		path := filepath.Join(root, file)
		o, err := cli.NewProjectOptions([]string{path}, cli.WithWorkingDirectory(filepath.Dir(path)), cli.WithDiscardEnvFile,
			cli.WithDefaultProfiles("*"), cli.WithEnv([]string{"HIVE_PROJECT_DIR=/project"}))
		require.NoError(t, err)
		whole, err := o.LoadProject(t.Context())
		require.NoError(t, err, file)
		body, err := whole.MarshalJSON()
		require.NoError(t, err)
		hand := Hand{ProjectDir: t.TempDir(), ComposeFiles: func() ([]string, error) { return []string{path}, nil }}
		require.NoError(t, os.WriteFile(hand.path("compose.json"), body, 0o600))
		sum := sha256.Sum256(body)
		read, err := hand.project(t.Context(), whole.Name, "compose.json", hex.EncodeToString(sum[:]))
		require.NoError(t, err, file)
		require.ElementsMatch(t, whole.ServiceNames(), read.ServiceNames())
		for _, name := range whole.ServiceNames() {
			want, err := Hash(whole.Services[name])
			require.NoError(t, err)
			got, err := Hash(read.Services[name])
			require.NoError(t, err)
			require.Equal(t, want, got, "%s: %s", file, name)
		}
		require.Equal(t, whole.Networks["hive"].Ipam.Config, read.Networks["hive"].Ipam.Config)
	}
}
