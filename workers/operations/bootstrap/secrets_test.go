package bootstrap

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/process/access"
)

func TestSecretsAreMadeOnceAndPrivate(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, secretsDir), 0o700))
	own := filepath.Join(dir, secretsDir, "redis_password")
	require.NoError(t, os.WriteFile(own, []byte("mine"), 0o644))
	n, err := secrets(dir, passwords)
	require.NoError(t, err)
	require.Equal(t, len(passwords)-1, n, "the operator's own stays")
	made, err := os.ReadFile(filepath.Join(dir, secretsDir, "postgres_password"))
	require.NoError(t, err)
	require.Len(t, made, 48)
	for _, name := range passwords {
		info, err := os.Stat(filepath.Join(dir, secretsDir, name))
		require.NoError(t, err)
		require.EqualValues(t, 0o600, info.Mode().Perm(), name)
	}
	n, err = secrets(dir, passwords)
	require.NoError(t, err)
	require.Zero(t, n)
	again, err := os.ReadFile(filepath.Join(dir, secretsDir, "postgres_password"))
	require.NoError(t, err)
	require.Equal(t, made, again)
}

func TestTokensFileIsMadeOnceOfTheThreeTokens(t *testing.T) {
	dir := t.TempDir()
	_, err := tokensFile(dir)
	require.ErrorContains(t, err, "agent_token")
	_, err = secrets(dir, passwords)
	require.NoError(t, err)
	made, err := tokensFile(dir)
	require.NoError(t, err)
	require.True(t, made)
	file := filepath.Join(dir, secretsDir, accessTokens)
	known, err := access.OpenFile(file)
	require.NoError(t, err, "as the services read it")
	require.Equal(t, 3, known.Len())
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	made, err = tokensFile(dir)
	require.NoError(t, err)
	require.False(t, made, "it is the operator's to change")
}

func TestTLSPair(t *testing.T) {
	dir := t.TempDir()
	made, err := tlsPair(dir, "10.231.0.10", "")
	require.NoError(t, err)
	require.True(t, made)
	cert, key := filepath.Join(dir, tlsDir, certificate), filepath.Join(dir, tlsDir, privateKey)
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	require.NoError(t, err)
	for _, host := range []string{"localhost", "127.0.0.1", "10.231.0.10"} {
		require.NoError(t, leaf.VerifyHostname(host))
	}
	info, err := os.Stat(key)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	require.True(t, ownPair(filepath.Join(dir, tlsDir)))

	made, err = tlsPair(dir)
	require.NoError(t, err)
	require.False(t, made, "a pair that is there stays")

	require.NoError(t, os.Remove(cert))
	made, err = tlsPair(dir)
	require.NoError(t, err)
	require.True(t, made, "cut off between key and certificate: made anew")

	require.NoError(t, os.Remove(key))
	require.NoError(t, os.WriteFile(cert, []byte("somebody's own"), 0o600))
	_, err = tlsPair(dir)
	require.ErrorContains(t, err, "bring the key")
	require.False(t, ownPair(filepath.Join(dir, tlsDir)))
}

func TestMaskTakesOutTheValuesOfSecrets(t *testing.T) {
	dir := t.TempDir()
	_, err := secrets(dir, passwords)
	require.NoError(t, err)
	value, err := secret(dir, "secrets/redis_password")
	require.NoError(t, err)
	text := mask(dir, "AUTH "+value+" failed; POSTGRES_PASSWORD=hunter2, user=leanvibe")
	require.Equal(t, "AUTH ••• failed; POSTGRES_PASSWORD=•••, user=leanvibe", text)
}
