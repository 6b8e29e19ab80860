package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/operations/adopt"
)

func TestInitShowsAndWritesOnlyWhenTold(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../../tests/fixtures/stacks/shop")))
	file := filepath.Join(dir, "compose.yaml")

	code, out, errs := execute(t, "init", file)
	require.Equal(t, exitOK, code, errs)
	for _, want := range []string{
		"web     app    nginx routes / to it", "RollingRestart      yes", "+        include /etc/nginx/hive.d/web.conf;", "proxy: {upstream: web, health: /healthz}",
		"nothing was written; to write it: hive init",
	} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, "canary-password")
	require.NoFileExists(t, filepath.Join(dir, adopt.OverrideFile))

	code, out, errs = execute(t, "init", file, "--write", "--output", "json", "--timezone", "Europe/Berlin")
	require.Equal(t, exitOK, code, errs)
	var p adopt.Proposal
	require.NoError(t, json.Unmarshal([]byte(out), &p))
	require.Len(t, p.Written, 6)
	for _, path := range p.Written {
		require.FileExists(t, path)
	}
	policy, err := os.ReadFile(filepath.Join(dir, adopt.PolicyFile))
	require.NoError(t, err)
	require.Contains(t, string(policy), "timezone: Europe/Berlin")

	code, out, _ = execute(t, "init", file)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "exists already: --write would refuse")
	code, _, errs = execute(t, "init", file, "--write")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, adopt.OverrideFile)
	require.Contains(t, errs, "nothing was written")
}

func TestInitRefusesWhatIsNoStack(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"init"}, "see: hive init --help"},
		{[]string{"init", "/nowhere/compose.yaml"}, "name the compose file of your stack"},
		{[]string{"init", "../../tests/fixtures/stacks/plain/compose.yml", "--proxy-conf", "x.conf"}, "no service of the stack is a proxy"},
		{[]string{"init", "../../tests/fixtures/stacks/shop/compose.yaml", "--timezone", "Mars/Base"}, "no zone of the IANA database"},
	} {
		code, _, errs := execute(t, c.args...)
		require.Equal(t, exitUsage, code)
		require.Contains(t, errs, c.want)
	}
}
