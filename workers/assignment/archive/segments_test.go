package archive

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// clock is a time that tests set.
type clock struct{ micros atomic.Int64 }

func clockAt(text string) *clock {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	c := &clock{}
	c.micros.Store(at.UnixMicro())
	return c
}

func (c *clock) now() time.Time          { return time.UnixMicro(c.micros.Load()) }
func (c *clock) advance(d time.Duration) { c.micros.Add(d.Microseconds()) }

func openIn(t *testing.T, dir, instance string, c *clock, keep time.Duration) *Segments {
	t.Helper()
	s, err := OpenSegments(SegmentsConfig{Dir: dir, Instance: instance, Keep: keep, Now: c.now})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// kill ends a writer as a crash of its process does: the file stays as it is, unlocked.
func (s *Segments) kill(t *testing.T) {
	t.Helper()
	s.cancel()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	require.NoError(t, s.open.file.Close())
	s.open, s.closed = nil, true
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range files {
		out = append(out, f.Name())
	}
	return out
}

// readAll reads a complete segment, which must read whole.
func readAll(t *testing.T, path string) (out []partition.Task) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	for task, err := range Read(f) {
		require.NoError(t, err)
		out = append(out, task)
	}
	return out
}

func tasksOf(from, n int) (out []partition.Task) {
	for i := range n {
		out = append(out, taskOf(from+i))
	}
	return out
}

func TestSegments_OverAnHoursTurn(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "made", "when needed"), clockAt("2026-11-29T15:59:59Z")
	s := openIn(t, dir, "orch-1", c, 0)
	require.Empty(t, names(t, dir))
	first, second, third := tasksOf(0, 3), tasksOf(3, 2), tasksOf(5, 1)
	require.NoError(t, s.Append(first))
	require.NoError(t, s.Append(second))
	require.Equal(t, []string{"2026-11-29T15Z-orch-1.partial"}, names(t, dir))
	c.advance(time.Second)
	require.NoError(t, s.Append(third))
	require.Equal(t, []string{"2026-11-29T16Z-orch-1.partial", "finished-2026-11-29T15Z-orch-1.ndjson.zst"}, names(t, dir))
	require.Equal(t, append(first, second...), readAll(t, filepath.Join(dir, "finished-2026-11-29T15Z-orch-1.ndjson.zst")))
	require.NoError(t, s.Close())
	require.Equal(t, third, readAll(t, filepath.Join(dir, "finished-2026-11-29T16Z-orch-1.ndjson.zst")))
	require.ErrorIs(t, s.Append(first), errClosed)
	require.NoError(t, s.Close())

	again := openIn(t, dir, "orch-1", c, 0)
	require.NoError(t, again.Append(first))
	require.NoError(t, again.Close())
	require.Equal(t, []string{
		"finished-2026-11-29T15Z-orch-1.ndjson.zst", "finished-2026-11-29T16Z-orch-1+2.ndjson.zst", "finished-2026-11-29T16Z-orch-1.ndjson.zst",
	}, names(t, dir))
	require.Equal(t, first, readAll(t, filepath.Join(dir, "finished-2026-11-29T16Z-orch-1+2.ndjson.zst")))
}

func TestSegments_HourEndsWithoutTasks(t *testing.T) {
	dir, c := t.TempDir(), clockAt("2026-11-29T15:30:00Z")
	s := openIn(t, dir, "orch-1", c, 0)
	require.NoError(t, s.Append(tasksOf(0, 1)))
	s.passHour()
	require.Equal(t, []string{"2026-11-29T15Z-orch-1.partial"}, names(t, dir))
	c.advance(30 * time.Minute)
	s.passHour()
	require.Equal(t, []string{"finished-2026-11-29T15Z-orch-1.ndjson.zst"}, names(t, dir))
	require.NoError(t, s.Append(nil))
	require.NoError(t, s.Close())
	require.Len(t, names(t, dir), 1, "nothing archived makes no segment")
}

func TestSegments_KeepsOnlySoLong(t *testing.T) {
	dir, c := t.TempDir(), clockAt("2026-11-29T15:30:00Z")
	s := openIn(t, dir, "orch-1", c, 3*time.Hour)
	require.NoError(t, s.Append(tasksOf(0, 1)))
	foreign := "finished-2026-11-29T16Z-gone.ndjson.zst"
	for _, name := range []string{foreign, "finished-2020-01-01T00Z-.ndjson.zst", "notes.txt", "finished-today.ndjson.zst"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	c.advance(210*time.Minute - time.Microsecond) // 18:59:59.999999
	s.passHour()
	require.Contains(t, names(t, dir), "finished-2026-11-29T15Z-orch-1.ndjson.zst")
	c.advance(time.Microsecond)
	s.passHour()
	require.Equal(t, []string{"finished-2020-01-01T00Z-.ndjson.zst", foreign, "finished-today.ndjson.zst", "notes.txt"}, names(t, dir),
		"what is not ours is left alone")
	c.advance(time.Hour)
	s.passHour()
	require.NotContains(t, names(t, dir), foreign)
}

func TestSegments_TornPartialIsRepaired(t *testing.T) {
	c := clockAt("2026-11-29T15:30:00Z")
	whole, torn := tasksOf(0, 40), tasksOf(40, 40)
	made := t.TempDir()
	s := openIn(t, made, "orch-1", c, 0)
	require.NoError(t, s.Append(whole))
	end := s.open.size
	require.NoError(t, s.Append(torn))
	s.kill(t)
	partial := filepath.Join(made, "2026-11-29T15Z-orch-1.partial")
	bytes, err := os.ReadFile(partial)
	require.NoError(t, err)
	size := int64(len(bytes))
	for _, cut := range []int64{0, 1, end - 1, end, end + 1, (end + size) / 2, size - 1, size} {
		t.Run(strconv.FormatInt(cut, 10), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, filepath.Base(partial))
			require.NoError(t, os.WriteFile(path, bytes[:cut], 0o600))
			require.NoError(t, os.WriteFile(path+copySuffix, []byte("of a killed repair"), 0o600))
			next := openIn(t, dir, "orch-1", c, 0)
			require.NoError(t, next.Append(tasksOf(80, 1)))
			require.NoError(t, next.Close())
			first := filepath.Join(dir, "finished-2026-11-29T15Z-orch-1.ndjson.zst")
			got := readAll(t, first)
			if cut < end {
				require.Less(t, len(got), len(whole))
				return
			}
			require.GreaterOrEqual(t, len(got), len(whole))
			require.Equal(t, append(whole, torn...)[:len(got)], got)
			require.Len(t, names(t, dir), 2)
		})
	}
}

func TestSegments_DamagedPartialKeepsWhatIsBefore(t *testing.T) {
	dir, c := t.TempDir(), clockAt("2026-11-29T15:30:00Z")
	s := openIn(t, dir, "orch-1", c, 0)
	whole := tasksOf(0, 10)
	require.NoError(t, s.Append(whole))
	s.kill(t)
	f, err := os.OpenFile(filepath.Join(dir, "2026-11-29T15Z-orch-1.partial"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("no zstd frame")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, openIn(t, dir, "orch-1", c, 0).Close())
	require.Equal(t, []string{"finished-2026-11-29T15Z-orch-1.ndjson.zst"}, names(t, dir))
	require.Equal(t, whole, readAll(t, filepath.Join(dir, names(t, dir)[0])))
}

func TestSegments_DeadInstanceIsFinishedByAnother(t *testing.T) {
	dir, c := t.TempDir(), clockAt("2026-11-29T15:30:00Z")
	lost := openIn(t, dir, "dead", c, 0)
	require.NoError(t, lost.Append(tasksOf(0, 5)))
	lost.kill(t)
	alive := openIn(t, dir, "alive", c, 0)
	require.NoError(t, alive.Append(tasksOf(5, 5)))
	for _, name := range names(t, dir) {
		require.NoError(t, os.Chtimes(filepath.Join(dir, name), c.now(), c.now()))
	}
	c.advance(2 * time.Hour)
	third := openIn(t, dir, "third", c, 0)
	require.Equal(t, []string{"2026-11-29T15Z-alive.partial", "2026-11-29T15Z-dead.partial"}, names(t, dir), "not dead for long enough")
	c.advance(time.Hour)
	third.passHour()
	require.Equal(t, []string{"2026-11-29T15Z-alive.partial", "finished-2026-11-29T15Z-dead.ndjson.zst"}, names(t, dir),
		"a living process's file is its own, however old")
	require.Len(t, readAll(t, filepath.Join(dir, "finished-2026-11-29T15Z-dead.ndjson.zst")), 5)
}

func TestSegments_OneInstanceTwice(t *testing.T) {
	dir, c := t.TempDir(), clockAt("2026-11-29T15:30:00Z")
	s := openIn(t, dir, "orch-1", c, 0)
	require.NoError(t, s.Append(tasksOf(0, 5)))
	twin := openIn(t, dir, "orch-1", c, 0)
	require.ErrorContains(t, twin.Append(tasksOf(5, 5)), "an instance of its own")
	require.NoError(t, s.Append(tasksOf(10, 5)))
	require.NoError(t, s.Close())
	require.NoError(t, twin.Append(tasksOf(5, 5)))
	require.NoError(t, twin.Close())
	require.Len(t, readAll(t, filepath.Join(dir, "finished-2026-11-29T15Z-orch-1.ndjson.zst")), 10)
	require.Len(t, readAll(t, filepath.Join(dir, "finished-2026-11-29T15Z-orch-1+2.ndjson.zst")), 5)

	_, err := OpenSegments(SegmentsConfig{Dir: dir, Instance: "a/b"})
	require.ErrorContains(t, err, "cannot name files")
}

func TestSegments_FullDiskLeavesNoTrace(t *testing.T) {
	dir, c := t.TempDir(), clockAt("2026-11-29T15:30:00Z")
	s := openIn(t, dir, "orch-1", c, 0)
	first, second := tasksOf(0, 5), tasksOf(5, 5)
	require.NoError(t, s.Append(first))
	s.open.writeAt = full
	require.ErrorIs(t, s.Append(second), syscall.ENOSPC)
	require.ErrorIs(t, s.Append(second), syscall.ENOSPC)
	info, err := os.Stat(filepath.Join(dir, "2026-11-29T15Z-orch-1.partial"))
	require.NoError(t, err)
	require.Equal(t, s.open.size, info.Size(), "the space is given back")
	s.open.writeAt = (*os.File).WriteAt
	require.NoError(t, s.Append(second))
	require.NoError(t, s.Close())
	require.Equal(t, append(first, second...), readAll(t, filepath.Join(dir, "finished-2026-11-29T15Z-orch-1.ndjson.zst")))
}

// full writes half and says what a full disk says.
func full(f *os.File, b []byte, at int64) (int, error) {
	n, err := f.WriteAt(b[:len(b)/2], at)
	if err == nil {
		err = syscall.ENOSPC
	}
	return n, err
}

func TestSegments_DirectoryAwayAndBack(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "data"), clockAt("2026-11-29T15:30:00Z")
	s := openIn(t, dir, "orch-1", c, 0)
	require.NoError(t, os.Remove(dir))
	require.NoError(t, os.WriteFile(dir, nil, 0o600))
	require.Error(t, s.Append(tasksOf(0, 1)))
	require.NoError(t, os.Remove(dir))
	require.NoError(t, os.Mkdir(dir, 0o750))
	require.NoError(t, s.Append(tasksOf(0, 1)))
	require.NoError(t, s.Close())
	require.Len(t, names(t, dir), 1)
}

func TestSegments_ManyAtOnce(t *testing.T) {
	dir, c := t.TempDir(), clockAt("2026-11-29T15:30:00Z")
	s := openIn(t, dir, "orch-1", c, 0)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			for j := range 5 {
				if err := s.Append(tasksOf(100*i+10*j, 3)); err != nil {
					errs[i] = err
				}
				c.advance(15 * time.Minute)
				s.passHour()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.NoError(t, s.Close())
	seen := map[partition.TaskID]bool{}
	for _, name := range names(t, dir) {
		for _, task := range readAll(t, filepath.Join(dir, name)) {
			seen[task.ID] = true
		}
	}
	require.Len(t, seen, 8*5*3)
}

// writerEnv has the test binary be a writer that is to be killed.
const writerEnv = "ARCHIVE_TEST_WRITER_DIR"

// TestSegments_Writer is the process that TestSegments_KilledWriter kills.
func TestSegments_Writer(t *testing.T) {
	dir := os.Getenv(writerEnv)
	if dir == "" {
		t.Skip("only as the writer of TestSegments_KilledWriter")
	}
	s, err := OpenSegments(SegmentsConfig{Dir: dir, Instance: "orch-1"})
	require.NoError(t, err)
	for {
		batch := tasksOf(0, 20)
		require.NoError(t, s.Append(batch))
		for _, task := range batch {
			fmt.Println("archived", task.ID)
		}
	}
}

// What Append answered nil for is in a complete segment after SIGKILL and a restart.
func TestSegments_KilledWriter(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[partition.TaskID]bool{}
	for round := range 3 {
		writer := exec.Command(os.Args[0], "-test.run=^TestSegments_Writer$")
		writer.Env = append(os.Environ(), writerEnv+"="+dir)
		out, err := writer.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, writer.Start())
		enough := len(acknowledged) + 100*(round+1) + 7
		for from := bufio.NewScanner(out); from.Scan(); {
			if text, ok := strings.CutPrefix(from.Text(), "archived "); ok && len(text) == 36 {
				acknowledged[uuid.MustParse(text)] = true
			}
			if len(acknowledged) == enough {
				require.NoError(t, writer.Process.Kill())
			}
		}
		require.GreaterOrEqual(t, len(acknowledged), enough, "the writer ended before it was killed")
		require.Error(t, writer.Wait(), "it was killed")
	}
	s, err := OpenSegments(SegmentsConfig{Dir: dir, Instance: "orch-1"})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	for _, name := range names(t, dir) {
		require.True(t, strings.HasPrefix(name, segmentPrefix), name)
		for _, task := range readAll(t, filepath.Join(dir, name)) {
			delete(acknowledged, task.ID)
		}
	}
	require.Empty(t, acknowledged, "lost")
}

func TestRead_SaysWhereItEnds(t *testing.T) {
	var packed bytes.Buffer
	packer, err := newPacker(&packed)
	require.NoError(t, err)
	_, err = packer.Write([]byte(`{"state":"dead"`))
	require.NoError(t, err)
	require.NoError(t, packer.Close())
	var got []error
	for _, err := range Read(&packed) {
		got = append(got, err)
	}
	require.Len(t, got, 1)
	require.ErrorContains(t, got[0], "before its last line")
	for range Read(strings.NewReader("")) {
		t.Fatal("an empty file has no tasks")
	}
}
