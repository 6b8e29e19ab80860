package ledger

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// victim is set in the process that is killed.
const victim = "HIVE_TEST_LEDGER"

// spoolUntilKilled records acts without a database, and prints each that was
// acknowledged.
func spoolUntilKilled(dir string) {
	book, err := Open(Config{ProjectDir: dir, Address: "127.0.0.1:1"})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go func() { _ = book.Run(context.Background()) }()
	for n := 0; ; n++ {
		if err := book.Begin(context.Background(), anAct(n)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(n)
	}
}

func TestKilledAtAnyMoment(t *testing.T) {
	total := 0
	for round := range 10 {
		dir := secretsOnly(t)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), victim+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		acknowledged := 0
		enough := 1 + rand.IntN(1+20*round)
		for lines.Scan() {
			require.Equal(t, fmt.Sprint(acknowledged), lines.Text())
			if acknowledged++; acknowledged == enough {
				require.NoError(t, cmd.Process.Kill())
			}
		}
		require.Error(t, cmd.Wait())
		rows, lost := spooled(t, dir)
		require.Empty(t, lost)
		require.GreaterOrEqual(t, len(rows), acknowledged)
		for n, row := range rows {
			require.Equal(t, anAct(n).Target, row.Target)
		}
		total += len(rows)
	}
	require.Positive(t, total)
}

func secretsOnly(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "secrets"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, KeyFile), []byte(strings.Repeat("k", keyMin)), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, PasswordFile), []byte("p"), 0o600))
	return dir
}

// spooled opens the spool as the next process does, and reads all of it.
func spooled(t *testing.T, dir string) (rows []Row, lost string) {
	t.Helper()
	c := Config{ProjectDir: dir}
	key, err := c.key()
	require.NoError(t, err)
	head, _, err := readHead(c.state(), key)
	require.NoError(t, err)
	s, lost, err := openSpool(c.state(), key, head)
	require.NoError(t, err)
	defer s.f.Close()
	rows, _, err = s.next(cursor{}, 1<<20)
	require.NoError(t, err)
	return rows, lost
}

// filled is a spool of so many rows, and where each of them ends.
func filled(t *testing.T, dir string, key *seal, rows int) (raw []byte, ends []int64) {
	t.Helper()
	s, lost, err := openSpool(dir, key, Head{})
	require.NoError(t, err)
	require.Empty(t, lost)
	for n := range rows {
		row := Row{Act: anAct(n), Outcome: Started}
		require.NoError(t, s.append(Head{Seq: 7}, [][]byte{row.body()}))
		ends = append(ends, s.size)
	}
	require.NoError(t, s.f.Close())
	raw, err = os.ReadFile(filepath.Join(dir, spoolFile))
	require.NoError(t, err)
	return raw, ends
}

func TestATornTailIsCutOff(t *testing.T) {
	dir, key := t.TempDir(), newSeal([]byte("key"))
	raw, ends := filled(t, dir, key, 3)
	name := filepath.Join(dir, spoolFile)
	for size := ends[1]; size < ends[2]; size += 1 + rand.Int64N(8) {
		for _, tail := range [][]byte{raw[:size], append(bytes.Clone(raw[:size]), make([]byte, ends[2]-size)...)} { // cut short, or never written
			require.NoError(t, os.WriteFile(name, tail, 0o600))
			s, lost, err := openSpool(dir, key, Head{Spooled: 2})
			require.NoError(t, err)
			require.Empty(t, lost)
			require.Equal(t, 2, s.count)
			require.NoError(t, s.append(Head{}, [][]byte{(&Row{Act: anAct(9)}).body()}), "and goes on")
			rows, _, err := s.next(cursor{}, 10)
			require.NoError(t, err)
			require.Equal(t, anAct(9).Target, rows[2].Target)
			require.NoError(t, s.f.Close())
		}
	}
}

// Each byte of the spool that somebody changes is noticed: where it was
// acknowledged, as lost; and what was before it stays.
func TestASpoolThatWasTamperedWith(t *testing.T) {
	dir, key := t.TempDir(), newSeal([]byte("key"))
	raw, ends := filled(t, dir, key, 3)
	name := filepath.Join(dir, spoolFile)
	tried := 0
	for at := 0; at < len(raw); at += 1 + rand.IntN(16) {
		tried++
		bad := bytes.Clone(raw)
		bad[at] ^= 1 << rand.IntN(8)
		require.NoError(t, os.WriteFile(name, bad, 0o600))
		count, fault, err := readSpool(dir, key, 3)
		require.NoError(t, err)
		require.NotEmpty(t, fault, at)
		s, lost, err := openSpool(dir, key, Head{Spooled: 3})
		require.NoError(t, err)
		require.NotEmpty(t, lost, at)
		require.Equal(t, count, s.count)
		want := 0
		for _, end := range ends {
			if int64(at) >= end {
				want++
			}
		}
		require.Equal(t, want, s.count, at)
		require.NoError(t, s.f.Close())
	}
	kept, err := filepath.Glob(filepath.Join(dir, spoolFile+".broken-*"))
	require.NoError(t, err)
	require.Len(t, kept, tried, "what was found is kept for people")
}

func TestALostSpoolGoesOnRecord(t *testing.T) {
	b := newBench(t)
	b.wire.set(true, false)
	book, stop := b.open()
	for n := range 3 {
		do(t, book, anAct(n), Result{Changed: yes()})
	}
	stop()
	require.NoError(t, os.Remove(filepath.Join(b.state(), spoolFile)))
	b.wire.set(false, false)
	require.Contains(t, fmt.Sprint(b.verdict().Findings), "the spool holds 0 rows of 6")
	book, _ = b.open()
	do(t, book, anAct(3), Result{Changed: yes()})
	b.settle(book)
	require.Contains(t, fmt.Sprint(b.verdict().Findings), "the spool holds 0 rows of 6", "and it is never forgotten")
	require.Equal(t, Broken, b.rows()[0].Outcome)
}

// Where nothing can be put on record, nothing is done.
func TestADiskThatTakesNothing(t *testing.T) {
	b := newBench(t)
	b.wire.set(true, false)
	book, err := Open(b.Config)
	require.NoError(t, err)
	whole := book.spool.f
	book.spool.f, err = os.OpenFile("/dev/full", os.O_RDWR, 0)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- book.Run(ctx) }()
	err = book.Begin(t.Context(), anAct(0))
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
	require.ErrorContains(t, err, "nothing can be put on record, so nothing is done")
	require.ErrorContains(t, err, "no space left on device")
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, whole.Close())
	err = book.Begin(t.Context(), anAct(0))
	require.ErrorContains(t, err, "the ledger is closed")
}

func TestTheHeadFile(t *testing.T) {
	dir, key := t.TempDir(), newSeal([]byte("key"))
	_, found, err := readHead(dir, key)
	require.NoError(t, err)
	require.False(t, found)
	want := Head{Seq: 12, Hash: Hash{1}, Spooled: 3, Spool: Hash{2}}
	require.NoError(t, writeHead(dir, key, want, true))
	got, found, err := readHead(dir, key)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, want, got)
	raw, err := os.ReadFile(filepath.Join(dir, headFile))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, headFile), bytes.Replace(raw, []byte("12"), []byte("11"), 1), 0o600))
	_, _, err = readHead(dir, key)
	require.ErrorIs(t, err, errForged)
	_, _, err = readHead(dir, newSeal([]byte("another")))
	require.ErrorIs(t, err, errForged)
}
