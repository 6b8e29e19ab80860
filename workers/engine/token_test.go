package engine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfigFromEnv_ReadsTheToken(t *testing.T) {
	t.Setenv("HIVE_PROXY_URL", "http://127.0.0.1:1")
	cfg, err := configFromEnv(nil)
	require.NoError(t, err)
	require.Empty(t, cfg.Token)
	file := filepath.Join(t.TempDir(), "token")
	t.Setenv("HIVE_TOKEN_FILE", file)
	_, err = configFromEnv(nil)
	require.ErrorContains(t, err, "HIVE_TOKEN_FILE")
	require.NoError(t, os.WriteFile(file, []byte("the-agents-token\n"), 0o600))
	cfg, err = configFromEnv(nil)
	require.NoError(t, err)
	require.Equal(t, "the-agents-token", cfg.Token)
}
