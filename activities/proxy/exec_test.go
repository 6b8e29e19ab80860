package proxy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseVersion(t *testing.T) {
	for words, want := range map[string]struct {
		version string
		newer   bool
	}{
		"nginx version: nginx/1.22.1":          {"1.22.1", false},
		"nginx version: nginx/1.27.3":          {"1.27.3", false},
		"nginx version: nginx/1.27.4":          {"1.27.4", true},
		"nginx version: nginx/1.28.0 (Debian)": {"1.28.0", true},
		"nginx version: nginx/2.0.0":           {"2.0.0", true},
		"sh: nginx: not found":                 {"", false},
	} {
		version, newer := parseVersion(words)
		require.Equal(t, want.version, version)
		require.Equal(t, want.newer, newer, words)
	}
}

func TestOutputIsBounded(t *testing.T) {
	var c capped
	for range 3 {
		n, err := c.Write([]byte(strings.Repeat("x", outputMax-1)))
		require.NoError(t, err)
		require.Equal(t, outputMax-1, n)
	}
	require.Equal(t, outputMax, c.Len())
	require.Less(t, len(cut(c.String())), wordsMax+10)
}
