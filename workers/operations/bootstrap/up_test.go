package bootstrap

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoutesAddOnlyWhatThisCallMade(t *testing.T) {
	for _, c := range []struct {
		name                   string
		now, live, begun, want []string
	}{
		{"nothing made", []string{"a"}, []string{"a", "b"}, nil, nil},
		{"made and routed to already", []string{"a", "b"}, []string{"a", "b"}, []string{"b"}, nil},
		{"made anew", []string{"a", "gone"}, []string{"a", "b", "c"}, []string{"b"}, []string{"a", "b"}},
		{"made, and gone again", []string{"a"}, []string{"a"}, []string{"b"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, routes(c.now, c.live, c.begun)) })
	}
}

func TestAnInterruptedCallLeavesItsReplicasToTheNext(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "out", "state"), 0o700))
	first := &up{ground: ground{dir: dir}, begun: map[string][]string{}}
	require.NoError(t, first.remember("hub", "10.0.0.1:8082"))
	second := &up{ground: ground{dir: dir}, begun: map[string][]string{}}
	require.NoError(t, second.remember("hub", "10.0.0.2:8082"))
	require.NoError(t, second.recall())
	require.ElementsMatch(t, []string{"10.0.0.1:8082", "10.0.0.2:8082"}, second.begun["hub"])
	require.NoError(t, os.WriteFile(filepath.Join(dir, begunFile), []byte("{"), 0o600))
	require.ErrorContains(t, second.recall(), "remove it")
}
