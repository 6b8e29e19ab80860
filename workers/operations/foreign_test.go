package operations

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const foreignStack = `name: shop
services:
  web: {image: web, deploy: {replicas: 2}, x-hive: {role: app, probe: {http: /healthz, port: 8000}, proxy: {upstream: web}}}
  nginx: {image: nginx, x-hive: {role: proxy}}
`

const frontDoor = "proxy: {service: nginx, url: http://127.0.0.1:8088}\n"

// foreign is a project directory of a stack that is not Agent Hive.
func foreign(t *testing.T, policy string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range map[string]string{"compose.yaml": foreignStack, "runbook.yaml": policy} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600))
	}
	return dir
}

func TestAStackWithoutAProxyHasNothingToReconcile(t *testing.T) {
	w := newWorld()
	r := w.reconciler(t, newGate())
	r.site = siteOf(foreign(t, "timezone: UTC\n"))
	require.NoError(t, r.once(t.Context()))
	require.Zero(t, w.seen().looks)
	require.Zero(t, w.seen().locks)
}

func TestTheFilesAreReadAgainWhenOneOfThemChanges(t *testing.T) {
	dir := foreign(t, frontDoor)
	s := siteOf(dir)
	before := s.stamp()
	require.Equal(t, before, s.stamp())
	for _, file := range []string{"compose.hive.yaml", ".env", "runbook.yaml", "compose.yaml"} {
		path := filepath.Join(dir, file)
		raw, _ := os.ReadFile(path) // some are new
		require.NoError(t, os.WriteFile(path, append(raw, "# more\n"...), 0o600))
		require.NotEqual(t, before, s.stamp(), file)
		before = s.stamp()
	}
}

func TestNobodyThereAsksForMetrics(t *testing.T) {
	address, err := siteOf(foreign(t, frontDoor)).gateway(t.Context(), "9464")
	require.NoError(t, err)
	require.Empty(t, address)
	_, err = siteOf(foreign(t, frontDoor+"metrics: {prometheus: http://127.0.0.1:9090}\n")).gateway(t.Context(), "9464")
	require.ErrorContains(t, err, "add ipam.config.subnet")
	address, err = siteOf(shipped(t)).gateway(t.Context(), "9464")
	require.NoError(t, err)
	require.Equal(t, "10.231.0.1:9464", address)
}
