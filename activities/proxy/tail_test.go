package proxy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	addressA = "10.231.16.4:8081"
	addressB = "10.231.16.5:8081"
)

// patience bounds what must come, on a machine that may stand still for a while.
const patience = 30 * time.Second

// entry is a line to generate.
type entry struct {
	at                   time.Time
	status               int
	uri, addrs, statuses string
	took                 float64
	times                string
}

func (e entry) String() string {
	if e.uri == "" {
		e.uri = "/v1/tasks"
	}
	if e.statuses == "" && e.addrs != "" {
		e.statuses = fmt.Sprint(e.status)
	}
	if e.times == "" && e.addrs != "" {
		e.times = fmt.Sprintf("%.3f", e.took)
	}
	return fmt.Sprintf(`{"time":"%s","msec":%.3f,"method":"GET","uri":"%s","status":%d,"upstream":"u","upstream_addr":"%s","upstream_status":"%s","request_time":%.3f,"upstream_response_time":"%s","generation":"1"}`+"\n",
		e.at.Format(time.RFC3339), float64(e.at.UnixMilli())/1000, e.uri, e.status, e.addrs, e.statuses, e.took, e.times)
}

// logbook is a project with an access log.
type logbook struct {
	t    testing.TB
	hand Hand
}

func newLogbook(t testing.TB) logbook {
	b := logbook{t, Hand{ProjectDir: t.TempDir()}}
	require.NoError(t, os.MkdirAll(filepath.Join(b.hand.ProjectDir, "logs", "nginx"), 0o755))
	return b
}

func (b logbook) input() runbook.ProxyInput {
	return runbook.ProxyInput{Project: "test", Proxy: runbook.ProxyPolicy{
		Service: "nginx", URL: "http://127.0.0.1:1", AddressDir: "hive.d", AccessLogDir: "logs/nginx", Quiet: runbook.Duration(time.Second),
	}}
}

func (b logbook) path(day time.Time) string {
	return filepath.Join(b.hand.ProjectDir, "logs", "nginx", "access-"+day.Format(time.DateOnly)+".log")
}

// append adds text to a day's log.
func (b logbook) append(day time.Time, text string) {
	b.t.Helper()
	f, err := os.OpenFile(b.path(day), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	require.NoError(b.t, err)
	_, err = f.WriteString(text)
	require.NoError(b.t, err)
	require.NoError(b.t, f.Close())
}

// log adds entries to the log of their own day.
func (b logbook) log(entries ...entry) {
	b.t.Helper()
	for _, e := range entries {
		b.append(e.at, e.String())
	}
}

func (b logbook) tail(from, until time.Time) *tail {
	b.t.Helper()
	t, err := b.hand.tail(b.input().Proxy, from, until)
	require.NoError(b.t, err)
	return t
}

func (b logbook) next(t *tail) []int64 {
	b.t.Helper()
	var out []int64
	require.NoError(b.t, t.next(b.t.Context(), func(l line) { out = append(out, l.Ended) }))
	return out
}

func TestTailCrossesMidnightInWhateverZone(t *testing.T) {
	for _, zone := range []*time.Location{time.UTC, time.FixedZone("west", -9*3600), time.FixedZone("east", 13*3600)} {
		t.Run(zone.String(), func(t *testing.T) {
			b := newLogbook(t)
			midnight := time.Date(2026, 11, 25, 0, 0, 0, 0, zone)
			var want []int64
			for s := -90; s < 90; s++ {
				at := midnight.Add(time.Duration(s) * time.Second)
				b.log(entry{at: at, status: 200})
				if s >= -60 && s <= 60 {
					want = append(want, at.UnixMilli())
				}
			}
			require.Equal(t, want, b.next(b.tail(midnight.Add(-time.Minute), midnight.Add(time.Minute))))
		})
	}
}

func TestTailGoesOnWhereItWas(t *testing.T) {
	b := newLogbook(t)
	noon := time.Date(2026, 11, 24, 23, 59, 58, 0, time.UTC)
	tail := b.tail(noon, noon.Add(time.Hour))
	require.Empty(t, b.next(tail), "no log yet")
	whole := entry{at: noon.Add(time.Second), status: 200}.String()
	b.append(noon, whole[:40])
	require.Empty(t, b.next(tail), "a line that nginx is in the middle of")
	b.append(noon, whole[40:])
	require.Equal(t, []int64{noon.Add(time.Second).UnixMilli()}, b.next(tail))
	require.Empty(t, b.next(tail), "nothing twice")
	b.log(entry{at: noon.Add(3 * time.Second), status: 200})
	require.Equal(t, []int64{noon.Add(3 * time.Second).UnixMilli()}, b.next(tail), "the next day's file")
	b.append(noon, "rubbish\n"+strings.Repeat("x", 3*chunk)+"\n")
	b.log(entry{at: noon.Add(time.Second), status: 200}, entry{at: noon, status: 204, uri: ourPath + "generation"})
	require.Equal(t, []int64{noon.Add(time.Second).UnixMilli()}, b.next(tail), "behind rubbish, and without our own questions")
}

func TestTailSaysWhatItCannotRead(t *testing.T) {
	b := newLogbook(t)
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	b.append(noon, `127.0.0.1 - - [24/Nov/2026:12:00:00] "GET / HTTP/1.1" 200 5`+"\n")
	err := b.tail(noon, noon.Add(time.Hour)).next(t.Context(), func(line) {})
	require.Equal(t, runbook.Corrupt, runbook.KindOf(err))
	require.ErrorContains(t, err, "logs/nginx/access-2026-11-24.log does not hold the JSON lines")

	require.NoError(t, os.RemoveAll(filepath.Join(b.hand.ProjectDir, "logs")))
	err = b.tail(noon, noon.Add(time.Hour)).next(t.Context(), func(line) {})
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
}

// counting counts what a search reads.
type counting struct {
	*os.File
	read int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.File.ReadAt(p, off)
	c.read += int64(n)
	return n, err
}

func TestSearchReadsALittleAndMissesNothing(t *testing.T) {
	b := newLogbook(t)
	start := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	var text strings.Builder
	const lines = 100_000
	begins := make([]int64, lines)
	for n := range lines {
		if n%5000 == 4999 {
			text.WriteString("rubbish\n")
		}
		begins[n] = int64(text.Len())
		text.WriteString(entry{at: start.Add(time.Duration(n) * 100 * time.Millisecond), status: 200, addrs: addressA, took: 0.01}.String())
	}
	b.append(start, text.String())
	f, err := os.Open(b.path(start))
	require.NoError(t, err)
	defer f.Close()
	for _, n := range []int{0, 1, 777, lines / 2, lines - 1} {
		c := &counting{File: f}
		at, err := search(c, int64(text.Len()), start.Add(time.Duration(n)*100*time.Millisecond).UnixMilli())
		require.NoError(t, err)
		require.LessOrEqual(t, at, begins[n], "line %d is not missed", n)
		require.Less(t, begins[n]-at, int64(2*chunk), "line %d is near", n)
		require.Less(t, c.read, int64(20*chunk), "of %d MB", text.Len()>>20)
		require.True(t, at == 0 || text.String()[at-1] == '\n', "at a line's begin")
	}
	at, err := search(f, int64(text.Len()), start.Add(24*time.Hour).UnixMilli())
	require.NoError(t, err)
	require.Less(t, int64(text.Len())-at, int64(2*chunk), "later than everything")
}

// BenchmarkMeasureTraffic measures 100,000 lines, which is a run of 200 s at 500 a second.
func BenchmarkMeasureTraffic(bench *testing.B) {
	b := newLogbook(bench)
	start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var text strings.Builder
	for n := range 100_000 {
		text.WriteString(entry{at: start.Add(time.Duration(n) * 2 * time.Millisecond), status: 200, addrs: addressA + ", " + addressB, statuses: "503, 200", took: 0.01, times: "0.001, 0.009"}.String())
	}
	b.append(start, text.String())
	bench.SetBytes(int64(text.Len()))
	for bench.Loop() {
		out, err := b.hand.MeasureTraffic(bench.Context(), runbook.MeasureTrafficInput{ProxyInput: b.input(), Started: start, Finished: start.Add(time.Hour)})
		require.NoError(bench, err)
		require.EqualValues(bench, 100_000, out.Requests)
	}
}
