package inotify

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds what must come, on a machine that may stand still for a while.
const patience = 30 * time.Second

func TestRenamesAndRemovalsAreTold(t *testing.T) {
	dir := t.TempDir()
	told := make(chan string, 10)
	require.NoError(t, Watch(t.Context(), []string{dir}, func(path string, there bool) {
		name, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		if there {
			told <- "+" + name
		} else {
			told <- "-" + name
		}
	}))
	expect := func(what string) {
		t.Helper()
		select {
		case got := <-told:
			require.Equal(t, what, got)
		case <-time.After(patience):
			require.Fail(t, "nothing was told", what)
		}
	}
	write := func(path string) {
		t.Helper()
		require.NoError(t, os.WriteFile(path+".tmp", nil, 0o600))
		require.NoError(t, os.Rename(path+".tmp", path))
	}
	write(filepath.Join(dir, "a"))
	expect("+a")
	require.NoError(t, os.Remove(filepath.Join(dir, "a")))
	expect("-a")

	inner := filepath.Join(dir, "inner")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "stage"), 0o700))
	require.NoError(t, os.Mkdir(inner, 0o700))
	require.Eventually(t, func() bool { // the new directory is watched soon after it came
		write(filepath.Join(inner, "b"))
		select {
		case got := <-told:
			return got == "+inner/b" || got == "+inner/b.tmp"
		case <-time.After(100 * time.Millisecond):
			return false
		}
	}, patience, time.Millisecond)
}

func TestADirectoryThatIsNotThereIsAnError(t *testing.T) {
	require.ErrorContains(t, Watch(t.Context(), []string{filepath.Join(t.TempDir(), "none")}, nil), "no such file")
}
