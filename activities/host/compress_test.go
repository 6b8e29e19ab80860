package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

func TestCompress(t *testing.T) {
	b := newBench(t)
	body := strings.Repeat("a line of a log\n", 10000)
	b.file("hub/a.log", body, 8*24*time.Hour)
	before, err := os.Stat(b.path("hub/a.log"))
	require.NoError(t, err)
	out, err := b.hand.Compress(context.Background(), in("hub/a.log"))
	require.NoError(t, err)
	require.True(t, out.Changed, out.Why)
	require.EqualValues(t, len(body), out.BytesBefore)
	require.Less(t, out.BytesAfter, out.BytesBefore)
	require.Equal(t, "logs/hub/a.log.gz", b.names())
	require.Equal(t, body, unpacked(t, b.path("hub/a.log.gz")))
	after, err := os.Stat(b.path("hub/a.log.gz"))
	require.NoError(t, err)
	require.Equal(t, before.Mode(), after.Mode())
	require.True(t, before.ModTime().Equal(after.ModTime()), "its age goes on, or it would never be deleted")

	again, err := b.hand.Compress(context.Background(), in("hub/a.log"))
	require.NoError(t, err)
	require.Equal(t, "compressed already", again.Why)
	none, err := b.hand.Compress(context.Background(), in("hub/none.log"))
	require.NoError(t, err)
	require.Equal(t, "gone already", none.Why)
}

func TestCompressFinishesWhatAKilledOneBegan(t *testing.T) {
	for name, begun := range map[string]func(b bench){
		"a half archive":  func(b bench) { b.file("a.log.gz.partial", "\x1f\x8b half", 0) },
		"a whole archive": func(b bench) { b.file("a.log.gz", string(packed(b.t, "the log\n")), 0) },
		"both": func(b bench) {
			b.file("a.log.gz", string(packed(b.t, "the log\n")), 0)
			b.file("a.log.gz.partial", "", 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.file("a.log", "the log\n", 8*24*time.Hour)
			begun(b)
			out, err := b.hand.Compress(context.Background(), in("a.log"))
			require.NoError(t, err)
			require.True(t, out.Changed, out.Why)
			require.Equal(t, "the log\n", unpacked(t, b.path("a.log.gz")))
			require.NoFileExists(t, b.path("a.log"))
		})
	}
}

func TestCompressNeverOverwrites(t *testing.T) {
	for name, other := range map[string][]byte{
		"another log": packed(t, "another log\n"), "no archive": []byte("text"), "empty": {}, "cut": packed(t, "the log\n")[:12],
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.file("a.log", "the log\n", 8*24*time.Hour)
			b.file("a.log.gz", string(other), 0)
			_, err := b.hand.Compress(context.Background(), in("a.log"))
			require.Equal(t, runbook.Refused, runbook.KindOf(err), "%v", err)
			require.ErrorContains(t, err, "a.log.gz is there already and does not hold a.log")
			left, err := os.ReadFile(b.path("a.log.gz"))
			require.NoError(t, err)
			require.Equal(t, other, left)
			require.FileExists(t, b.path("a.log"))
		})
	}
}

func TestCompressLeavesWhatItMust(t *testing.T) {
	b := newBench(t)
	b.file("young.log", "x", 6*24*time.Hour)
	b.file("future.log", "x", -24*time.Hour)
	require.NoError(t, os.Mkdir(b.path("dir.log"), 0o755))
	for name, why := range map[string]string{"young.log": "which is not over 168h0m0s", "future.log": "which is not over", "dir.log": "not a plain file"} {
		out, err := b.hand.Compress(context.Background(), in(name))
		require.NoError(t, err)
		require.False(t, out.Changed)
		require.Contains(t, out.Why, why)
	}
	for _, path := range []string{"../secrets.log", "/etc/x.log", "a.log.gz", "a.txt"} {
		_, err := b.hand.Compress(context.Background(), in(path))
		require.Equal(t, runbook.Refused, runbook.KindOf(err), path)
	}
	outside := filepath.Join(t.TempDir(), "theirs.log")
	require.NoError(t, os.WriteFile(outside, []byte("x"), 0o600))
	require.NoError(t, os.Symlink(filepath.Dir(outside), b.path("away")))
	_, err := b.hand.Compress(context.Background(), in("away/theirs.log"))
	require.Error(t, err, "no link leads out of the directory")
	require.FileExists(t, outside)
}

func TestCancelledCompressionLeavesTheLog(t *testing.T) {
	b := newBench(t)
	b.file("a.log", "the log\n", 8*24*time.Hour)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := b.hand.Compress(ctx, in("a.log"))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "logs/a.log", b.names())
}
