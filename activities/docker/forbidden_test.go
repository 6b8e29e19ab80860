package docker

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// never are calls that no code of this hand may make; the recorder of the engine
// tests holds the same against what is really sent.
var never = map[string]*regexp.Regexp{
	"a prune":             regexp.MustCompile(`\w*Prune\w*\(`),
	"a removal by force":  regexp.MustCompile(`\bForce:`),
	"a volume's removal":  regexp.MustCompile(`VolumeRemove\(`),
	"a network's removal": regexp.MustCompile(`NetworkRemove\(`),
	"a restart in place":  regexp.MustCompile(`ContainerRestart\(`),
	"a sleep":             regexp.MustCompile(`time\.Sleep\(`),
}

func TestForbiddenCalls(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	read := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		read++
		for what, call := range never {
			require.NotRegexp(t, call, string(text), "%s has %s", file, what)
		}
	}
	require.Greater(t, read, 10)
}

func TestTheRecorderRejects(t *testing.T) {
	for request, bad := range map[string]bool{
		"POST /v1.41/volumes/prune":                true,
		"POST /v1.41/containers/prune":             true,
		"DELETE /v1.41/containers/x?force=1":       true,
		"DELETE /v1.41/volumes/x":                  true,
		"DELETE /v1.41/networks/x":                 true,
		"POST /v1.41/containers/x/restart?t=1":     true,
		"DELETE /v1.41/containers/x?v=1":           false,
		"POST /v1.41/containers/x/kill?signal=INT": false,
	} {
		method, url, _ := strings.Cut(request, " ")
		require.Equal(t, bad, forbidden(httptest.NewRequest(method, url, nil)) != "", request)
	}
}
