package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/leanvibe/hive/workflows/runbook"
)

const week = 7 * 24 * time.Hour

// bench is a project with a log directory.
type bench struct {
	t    *testing.T
	hand Hand
}

func newBench(t *testing.T) bench {
	b := bench{t, Hand{ProjectDir: t.TempDir()}}
	require.NoError(t, os.MkdirAll(filepath.Join(b.hand.ProjectDir, "logs", "hub"), 0o755))
	return b
}

func (b bench) path(name string) string { return filepath.Join(b.hand.ProjectDir, "logs", name) }

// file writes a file of an age.
func (b bench) file(name, body string, age time.Duration) {
	b.t.Helper()
	require.NoError(b.t, os.WriteFile(b.path(name), []byte(body), 0o640))
	at := time.Now().Add(-age)
	require.NoError(b.t, os.Chtimes(b.path(name), at, at))
}

func (b bench) names() string {
	b.t.Helper()
	var out []string
	require.NoError(b.t, filepath.WalkDir(b.hand.ProjectDir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(b.hand.ProjectDir, path)
			out = append(out, rel)
		}
		return err
	}))
	return strings.Join(out, " ")
}

func in(path string) runbook.LogInput {
	return runbook.LogInput{Directory: "logs", Path: path, OlderThan: runbook.Duration(week)}
}

func packed(t *testing.T, body string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write([]byte(body))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func unpacked(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	r, err := gzip.NewReader(f)
	require.NoError(t, err)
	body, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(body)
}

func TestListTellsWhoIsWrittenTo(t *testing.T) {
	b := newBench(t)
	b.file("hub/old.log", "x", 10*24*time.Hour)
	b.file("hub/read.log", "x", time.Hour)
	b.file("hub/written.log", "x", 9*24*time.Hour)
	b.file("hub/old.log.gz", "x", 40*24*time.Hour)
	b.file("hub/half.log.gz.partial", "x", time.Hour)
	b.file("hub/readme.txt", "x", 0)
	require.NoError(t, os.Symlink(b.path("hub/old.log"), b.path("hub/link.log")))
	reader, err := os.Open(b.path("hub/read.log"))
	require.NoError(t, err)
	defer reader.Close()
	// Another process, as a service in a container is.
	writer := exec.Command("sh", "-c", "exec 3>>\"$0\"; echo ready; read line", b.path("hub/written.log"))
	said, err := writer.StdoutPipe()
	require.NoError(t, err)
	end, err := writer.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, writer.Start())
	_, err = said.Read(make([]byte, 16))
	require.NoError(t, err)

	list, err := b.hand.List(context.Background(), runbook.LogsInput{Directory: "logs"})
	require.NoError(t, err)
	seen := map[string]runbook.LogFile{}
	for _, f := range list.Files {
		seen[f.Path] = f
	}
	require.Len(t, seen, 5)
	require.True(t, seen["hub/written.log"].Open)
	require.False(t, seen["hub/read.log"].Open, "reading is not writing")
	require.False(t, seen["hub/old.log"].Open)
	require.True(t, seen["hub/old.log.gz"].Compressed)
	require.True(t, seen["hub/half.log.gz.partial"].Partial)
	require.EqualValues(t, 1, seen["hub/old.log"].Bytes)
	require.WithinDuration(t, time.Now(), list.Now, time.Minute)

	out, err := b.hand.Compress(context.Background(), in("hub/written.log"))
	require.NoError(t, err)
	require.Equal(t, "still written to", out.Why)
	f, err := os.Open(b.path("hub/written.log"))
	require.NoError(t, err)
	defer f.Close()
	open, err := b.hand.scanned(f) // the way for file systems without leases
	require.NoError(t, err)
	require.True(t, open)
	require.NoError(t, end.Close())
	_ = writer.Wait() // read's own verdict on the end of its input
	open, err = b.hand.scanned(f)
	require.NoError(t, err)
	require.False(t, open)
	open, err = b.hand.written(f)
	require.NoError(t, err)
	require.False(t, open)
}

func TestAWorkerThatSeesOnlyItselfDoesNotGuess(t *testing.T) {
	b := newBench(t)
	b.file("a.log", "x", 10*24*time.Hour)
	b.hand.Proc = t.TempDir()
	require.NoError(t, os.Symlink("1", filepath.Join(b.hand.Proc, "self")))
	f, err := os.Open(b.path("a.log"))
	require.NoError(t, err)
	defer f.Close()
	_, err = b.hand.scanned(f)
	require.Equal(t, runbook.Unsafe, runbook.KindOf(err))
	require.ErrorContains(t, err, "give opsworker the capability LEASE")
}

func TestDelete(t *testing.T) {
	b := newBench(t)
	b.file("a.log.gz", "x", 8*24*time.Hour)
	b.file("young.log.gz", "x", time.Hour)
	out, err := b.hand.Delete(context.Background(), in("a.log.gz"))
	require.NoError(t, err)
	require.Equal(t, runbook.LogChange{Changed: true, BytesBefore: 1}, out)
	out, err = b.hand.Delete(context.Background(), in("a.log.gz"))
	require.NoError(t, err)
	require.Equal(t, "gone already", out.Why)
	out, err = b.hand.Delete(context.Background(), in("young.log.gz"))
	require.NoError(t, err)
	require.False(t, out.Changed)
	for _, path := range []string{"a.log", "../x.log.gz", "x.gz"} {
		_, err = b.hand.Delete(context.Background(), in(path))
		require.Equal(t, runbook.Refused, runbook.KindOf(err), path)
	}
	none := in("young.log.gz")
	none.OlderThan = 0
	_, err = b.hand.Delete(context.Background(), none)
	require.Equal(t, runbook.Refused, runbook.KindOf(err), "no age is no permission")
}

// fill mounts a small disk on a directory of the project and fills it.
func (b bench) fill(dir string, free int) {
	b.t.Helper()
	path := filepath.Join(b.hand.ProjectDir, dir)
	require.NoError(b.t, os.MkdirAll(path, 0o755))
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size=256k"); err != nil {
		b.t.Skipf("this machine does not let a test mount a small disk: %v", err)
	}
	b.t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	require.NoError(b.t, os.WriteFile(filepath.Join(path, "ballast"), make([]byte, 256<<10-free), 0o600))
}

func TestFullDisk(t *testing.T) {
	b := newBench(t)
	b.fill("logs", 128<<10)
	noise := make([]byte, 60<<10)
	_, _ = rand.Read(noise)
	b.file("a.log", hex.EncodeToString(noise), 8*24*time.Hour) // compresses to its half: 60 KiB of 8 free
	_, err := b.hand.Compress(context.Background(), in("a.log"))
	require.Equal(t, runbook.Unsafe, runbook.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "the disk of a.log is full: nothing was changed; free some space")
	require.Equal(t, "logs/a.log logs/ballast", b.names())

	b.fill("out", 4<<10)
	kept := runbook.ArtefactInput{Path: "weekly/report.json", Body: "{}"}
	_, err = b.hand.WriteArtefact(context.Background(), kept)
	require.NoError(t, err)
	kept.Body = strings.Repeat("x", 64<<10)
	_, err = b.hand.WriteArtefact(context.Background(), kept)
	require.Equal(t, runbook.Unsafe, runbook.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "the disk of out/weekly/report.json is full")
	left, err := os.ReadFile(filepath.Join(b.hand.ProjectDir, "out/weekly/report.json"))
	require.NoError(t, err)
	require.Equal(t, "{}", string(left), "the one that was there is whole")
	require.Equal(t, "logs/a.log logs/ballast out/ballast out/weekly/report.json", b.names())
}

func TestWriteArtefact(t *testing.T) {
	b := newBench(t)
	in := runbook.ArtefactInput{Path: "weekly-maintenance/report.json", Body: `{"ä":1}`}
	out, err := b.hand.WriteArtefact(context.Background(), in)
	require.NoError(t, err)
	sum := sha256.Sum256([]byte(in.Body))
	require.Equal(t, runbook.Artefact{Path: "out/weekly-maintenance/report.json", SHA256: hex.EncodeToString(sum[:])}, out)
	again, err := b.hand.WriteArtefact(context.Background(), in)
	require.NoError(t, err)
	require.Equal(t, out, again)
	require.Equal(t, "out/weekly-maintenance/report.json", b.names())
	for _, bad := range []runbook.ArtefactInput{
		{Path: "../report.json"}, {Path: "/report.json"}, {Path: "report.json"}, {Path: "state/x"}, {Path: "bin/hive"}, {Path: "a/../bin/hive"},
		{Path: "a/b", Body: "\xff"}, {Path: "a/b", Body: strings.Repeat("x", artefactMax+1)},
	} {
		_, err := b.hand.WriteArtefact(context.Background(), bad)
		require.Equal(t, runbook.Refused, runbook.KindOf(err), bad.Path)
	}
}

func TestMeasure(t *testing.T) {
	b := newBench(t)
	r, err := b.hand.Measure(context.Background(), runbook.ResourcesInput{Directories: []string{"logs", "backups/monthly"}})
	require.NoError(t, err)
	require.Len(t, r.Disks, 2)
	require.Equal(t, "backups/monthly", r.Disks[1].Directory, "not made yet: its parent's disk")
	require.Positive(t, r.Disks[1].Bytes)
	require.Positive(t, r.Disks[0].Free)
	require.Greater(t, r.MemoryBytes, r.MemoryAvailable)
	require.Positive(t, r.MemoryAvailable)
	require.Positive(t, r.CPUs)
	require.GreaterOrEqual(t, r.Load1, 0.0)
	_, err = b.hand.Measure(context.Background(), runbook.ResourcesInput{Directories: []string{"/"}})
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	_, err = b.hand.List(context.Background(), runbook.LogsInput{Directory: "nowhere"})
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
}
