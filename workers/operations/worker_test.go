package operations

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/activities/ledger"
	"github.com/leanvibe/hive/tests/port"
	"github.com/leanvibe/hive/workers/process"
)

func TestConfigFromEnv(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "")
	t.Setenv("TEMPORAL_NAMESPACE", "")
	for _, dir := range []string{"", "hive"} {
		t.Setenv("HIVE_PROJECT_DIR", dir)
		_, err := FromEnv()
		require.ErrorContains(t, err, "HIVE_PROJECT_DIR")
	}
	t.Setenv("HIVE_PROJECT_DIR", "/srv/hive")
	cfg, err := FromEnv()
	require.NoError(t, err)
	require.Equal(t, Config{ProjectDir: "/srv/hive", Temporal: "127.0.0.1:7233", Namespace: "ops", Ledger: "127.0.0.1:5433"}, cfg)
}

// TestWithoutTemporalAndEngine: a worker that starts before everything else waits
// for it, says so, and stops when told.
func TestWithoutTemporalAndEngine(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	p, err := process.New(process.Config{
		Service: "opsworker", Version: "test", Instance: "test", Listen: "127.0.0.1:0",
		DrainMin: time.Millisecond, ShutdownMax: 20 * time.Second,
	})
	require.NoError(t, err)
	nobody := fmt.Sprintf("127.0.0.1:%d", port.Reserve(t))
	dir := shipped(t)
	require.ErrorContains(t, Config{ProjectDir: dir, Temporal: nobody, Namespace: "ops", Ledger: nobody}.Setup(t.Context(), p), ledger.KeyFile)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "secrets"), 0o700))
	for _, file := range []string{ledger.KeyFile, ledger.PasswordFile} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte("0123456789abcdef0123456789abcdef"), 0o600))
	}
	p, err = process.New(p.Config())
	require.NoError(t, err)
	require.NoError(t, Config{ProjectDir: dir, Temporal: nobody, Namespace: "ops", Ledger: nobody}.Setup(t.Context(), p))

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	address, err := p.Addr(t.Context())
	require.NoError(t, err)
	get := func(path string, into any) int {
		res, err := http.Get("http://" + address.String() + path)
		require.NoError(t, err)
		defer res.Body.Close()
		require.NoError(t, json.NewDecoder(res.Body).Decode(into))
		return res.StatusCode
	}
	var alive map[string]string
	require.Equal(t, http.StatusOK, get("/healthz", &alive))
	var health process.HealthReport
	require.Equal(t, http.StatusServiceUnavailable, get("/readyz", &health))
	require.Equal(t, "not connected to "+nobody, health.Checks["temporal"])
	require.Contains(t, health.Checks["engine"], "/nowhere/docker.sock")
	families, err := p.Registry().Gather()
	require.NoError(t, err)
	for _, f := range families {
		require.NotContains(t, f.GetName(), "hive_container", "there is no data")
	}

	cancel()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(patience):
		t.Fatal("the process does not stop while it waits for Temporal")
	}
}
