package e2e

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A disk that is full in the middle of LogManagement: the error says so, the log is as it was, and nothing half-written
// stays.
func TestAFullDisk(t *testing.T) {
	root := project(t)
	dir := filepath.Join(root, "logs", "e2e-small")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	mounted := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", dir)
	out, err := mounted.CombinedOutput()
	require.NoError(t, err, "mount: %s", out)
	t.Cleanup(func() {
		docker(t, "stop", "hive-platform-opsworker-1") // it holds the mount
		out, err := exec.Command("umount", dir).CombinedOutput()
		docker(t, "start", "hive-platform-opsworker-1")
		require.NoError(t, err, "umount: %s", out)
		require.NoError(t, os.Remove(dir))
		mended(t, root)
	})
	docker(t, "restart", "hive-platform-opsworker-1") // mounts made after a container's start are not seen in it

	const size = 900 << 10 // of bytes that do not compress: a copy finds no room
	old := filepath.Join(dir, "service-2026-01-01.log")
	text := make([]byte, size)
	_, _ = rand.Read(text)
	require.NoError(t, os.WriteFile(old, text, 0o644))
	then := time.Now().Add(-10 * 24 * time.Hour)
	require.NoError(t, os.Chtimes(old, then, then))

	s := hive(t, root, "run", "LogManagement")
	require.NotEqual(t, exitOK, s.code)
	require.Contains(t, s.both(), "is full: nothing was changed")
	require.Contains(t, s.both(), "service-2026-01-01.log")
	kept, err := os.ReadFile(old)
	require.NoError(t, err)
	require.Equal(t, text, kept)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing beside the log")
}
