package bootstrap

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/activities/policy"
)

func TestWriteEnvKeepsAnOperatorsLinesAndDropsOursThatAreOver(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.WriteFile(file, []byte("MINE=1\nNGINX_IMAGE=local/nginx:old\nREDIS_IMAGE=local/redis:old\n"), 0o644))
	changed, err := writeEnv(file, map[string]string{originKey: "upstream", "ORCHESTRATOR_IMAGE": "127.0.0.1:5000/leanvibe/x:2.0"})
	require.NoError(t, err)
	require.True(t, changed)
	env, err := readEnv(file)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"MINE": "1", originKey: "upstream", "ORCHESTRATOR_IMAGE": "127.0.0.1:5000/leanvibe/x:2.0"}, env)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())

	changed, err = writeEnv(file, map[string]string{originKey: "upstream", "ORCHESTRATOR_IMAGE": "127.0.0.1:5000/leanvibe/x:2.0"})
	require.NoError(t, err)
	require.False(t, changed, "the same content is not written twice")
}

func TestQuoteSurvivesTheComposeReader(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".env")
	for _, value := range []string{"/srv/hive", "/srv/my hive", "/srv/$HOME", `/srv/it's "here" $x \y`, "/srv/hive#2"} {
		require.NoError(t, os.WriteFile(file, []byte("A="+quote(value)+"\n"), 0o600))
		env, err := dotenv.Read(file)
		require.NoError(t, err, value)
		require.Equal(t, value, env["A"])
	}
}

func TestTheSwitchIsOneOfTwoWords(t *testing.T) {
	for _, text := range []string{"", "local", "upstream"} {
		o, err := parseOrigin(text)
		require.NoError(t, err)
		require.EqualValues(t, text, o)
	}
	_, err := parseOrigin("hub")
	require.ErrorContains(t, err, "want upstream")
}

func TestEveryVariableOfTheStackIsManaged(t *testing.T) {
	images := map[string]made{}
	for _, r := range recipes {
		images[r.name] = made{tag: "local/" + r.name + ":1"}
	}
	keys := managed()
	for _, variables := range []map[string]string{stackVariables(local, images), ground{dir: "/srv", files: policy.Layout{Own: true}}.platformVariables(local, images)} {
		for key := range variables {
			require.Contains(t, keys, key)
		}
	}
	require.NotContains(t, stackVariables(local, images), registryVariable)
	require.NotContains(t, stackVariables(upstream, nil), "NGINX_IMAGE", "upstream images are the compose file's own")
}
