package bootstrap

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHostMirrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  mirrors
	}{
		{"deb822", map[string]string{"sources.list.d/debian.sources": `Types: deb
# a comment
URIs: http://one.example/debian/
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://one.example/debian-security
Suites: bookworm-security
Components: main
`}, mirrors{"http://one.example/debian", "http://one.example/debian-security"}},
		{"one line, with options, behind a vendor's", map[string]string{"sources.list": `# deb http://off.example/debian bookworm main
deb https://vendor.example/apt vendor-bookworm main
deb-src http://two.example/debian trixie main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://two.example/debian trixie main contrib
deb http://two.example/debian-security trixie-security main
`}, mirrors{"http://two.example/debian", "http://two.example/debian-security"}},
		{"disabled, and no main", map[string]string{
			"sources.list.d/a.sources": "Types: deb\nEnabled: no\nURIs: http://no.example/debian\nSuites: bookworm\nComponents: main\n",
			"sources.list.d/b.list":    "deb http://no.example/debian bookworm contrib\n",
			"sources.list.d/c.list":    "deb http://yes.example/debian stable main\n",
		}, mirrors{main: "http://yes.example/debian"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			etc := t.TempDir()
			for name, text := range c.files {
				path := filepath.Join(etc, name)
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			}
			got, err := hostMirrors(etc)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	_, err := hostMirrors(t.TempDir())
	require.ErrorContains(t, err, "HIVE_IMAGES=upstream")
}

func TestOnlyTheOldReleaseHasItsSecuritySuite(t *testing.T) {
	m := mirrors{"http://one.example/debian", "http://one.example/security"}
	require.Len(t, m.lists(suite), 2)
	require.Equal(t, []string{"deb http://one.example/debian forky main"}, m.lists(newest))
}
