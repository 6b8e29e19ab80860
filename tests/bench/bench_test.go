package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/matcher/matcherload"
)

func TestARowIsJudgedByItsSideOfTheBar(t *testing.T) {
	require.True(t, *atMost("a", "ns", 10).with(10).Met)
	require.False(t, *atMost("a", "ns", 10).with(10.1).Met)
	require.True(t, *atLeast("a", "1/s", 10).with(10).Met)
	require.False(t, *atLeast("a", "1/s", 10).with(9.9).Met)
	require.Nil(t, shown("a", "ns").with(1).Met)
}

func TestNoDataIsNeverMet(t *testing.T) {
	r := atMost("a", "ns", 10).with(1).beside("b", 1).noData(errors.New("no server"))
	require.Nil(t, r.Value)
	require.Nil(t, r.Met)
	require.Nil(t, r.Ratio)
	require.Equal(t, "no data: no server", r.verdict())
	require.False(t, allMet([]Row{r}))
	require.False(t, allMet([]Row{shown("a", "ns").noData(errors.New("no server"))}))
	for _, nothing := range []float64{math.NaN(), math.Inf(1)} {
		r := atMost("a", "ns", 1).with(nothing).noted("of a day")
		require.Nil(t, r.Value)
		require.Nil(t, r.Met)
		require.Equal(t, "no data: nothing was counted", r.verdict())
	}
	require.False(t, allMet([]Row{atMost("a", "ns", 1).with(2)}))
	require.True(t, allMet([]Row{atMost("a", "ns", 1).with(1), shown("b", "ns").with(5)}))
}

func TestRowsAreWrittenWithNullsForWhatIsUnknown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out", "bench.json")
	require.NoError(t, writeRows(path, []Row{atLeast("a", "1/s", 5).noData(errors.New("why"))}))
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.JSONEq(t, `[{"name":"a","value":null,"unit":"1/s","bar":5,"met":null,"peer":"","ratio":null,"note":"why"}]`, string(raw))
}

func TestMatcherRows(t *testing.T) {
	few := matcherload.Result{P50: 400, P99: 900, PerSecond: 3e6, PerCPUSecond: 3e6, BatchPerSecond: 4e6, Comparisons: 100}
	many := matcherload.Result{
		P50: 1200, P99: 9000, Clock: 50, PerSecond: 1.2e6, PerCPUSecond: 1.3e6, BatchPerSecond: 2e6, Comparisons: 104, AllocsPerStep: 1e-6,
	}
	rows := matcherRows(many, few)
	verdicts := map[string]string{}
	for _, r := range rows {
		verdicts[r.Name] = r.verdict()
	}
	require.Equal(t, map[string]string{
		"matcher/100k/p50": "NOT MET", "matcher/100k/p99": "met", "matcher/100k/rate": "met",
		"matcher/100k/rate by own CPU time": "", "matcher/100k/allocations": "met: 1e-06 per op in the whole process; whole ones count, as in go test",
		"matcher/comparisons 100k by 1k": "met", "matcher/time 100k by 1k": "met",
		"matcher/100k/rate in batches of 64": "", "matcher/clock's own part of p50": "",
	}, verdicts)
	require.InDelta(t, 2.5, *rows[6].Value, 1e-9)
}

func TestAnInterruptedMatcherHasNoData(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rows := measureMatcher(ctx, func(string, ...any) {})
	require.Len(t, rows, 9)
	for _, r := range rows {
		require.Equal(t, "no data: context canceled", r.verdict())
	}
}

func TestAnInterruptedPartitionHasNoData(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rows := measurePartition(ctx, func(string, ...any) {})
	require.Len(t, rows, len(partitionRows()))
	for _, r := range rows {
		require.Nil(t, r.Met)
		require.Contains(t, r.verdict(), "no data: ")
	}
}

func TestQuantiles(t *testing.T) {
	var d durations
	for i := range 101 {
		d.add(time.Duration(i)*time.Millisecond, 1)
	}
	d.add(time.Hour, 0) // a call that assigned nothing
	require.InDelta(t, 50, d.quantile(.5), 1e-9)
	require.InDelta(t, 99, d.quantile(.99), 1e-9)
	require.True(t, math.IsNaN((&durations{}).quantile(.5)))
	h := schedLatencies()
	require.True(t, math.IsNaN(h.since(h).p99()), "nothing has waited for a core")
}

// metricsText is /metrics as the bench reads it: the processor's seconds, and how many
// calls were counted up to 0.01 ms, up to 0.1 ms, and in all.
const metricsText = `# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total %g
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 1e+06
# TYPE leanvibe_task_assignment_duration_ms histogram
leanvibe_task_assignment_duration_ms_bucket{le="0.01"} %[2]d
leanvibe_task_assignment_duration_ms_bucket{le="0.1"} %[3]d
leanvibe_task_assignment_duration_ms_bucket{le="+Inf"} %[4]d
leanvibe_task_assignment_duration_ms_sum 1
leanvibe_task_assignment_duration_ms_count %[4]d
`

func TestScrape(t *testing.T) {
	before, err := readMetrics(strings.NewReader(fmt.Sprintf(metricsText, 1.0, 10, 10, 10)))
	require.NoError(t, err)
	after, err := readMetrics(strings.NewReader(fmt.Sprintf(metricsText, 2.0, 60, 110, 110)))
	require.NoError(t, err)
	require.InDelta(t, 1e6, after.memory, 0)
	after.at = before.at.Add(10 * time.Second)
	busy, err := after.busy(before)
	require.NoError(t, err)
	require.InDelta(t, 10, busy*float64(runtime.NumCPU()), 1e-9)
	decided, err := after.since(before, metricDecided)
	require.NoError(t, err)
	require.InDelta(t, .01, decided.quantile(.5), 1e-9)
	require.InDelta(t, .0982, decided.quantile(.99), 1e-9)
}

// What the server does not say is an error, never a 0 that meets a bar.
func TestScrape_WithoutData(t *testing.T) {
	text := fmt.Sprintf(metricsText, 1.0, 10, 10, 10)
	for _, name := range []string{metricCPU, metricMemory} {
		_, err := readMetrics(strings.NewReader(without(text, name)))
		require.ErrorContains(t, err, name+" is missing from /metrics")
	}
	_, err := readMetrics(strings.NewReader(strings.ReplaceAll(text, "1e+06", "0")))
	require.ErrorContains(t, err, metricMemory+" in /metrics is 0")
	_, err = readMetrics(strings.NewReader("<html>Bad Gateway</html>\n"))
	require.ErrorContains(t, err, "/metrics: ")

	now, err := readMetrics(strings.NewReader(text))
	require.NoError(t, err)
	bare, err := readMetrics(strings.NewReader(without(text, metricDecided)))
	require.NoError(t, err)
	for _, pair := range [][2]*scraped{{now, bare}, {bare, now}, {bare, bare}} {
		_, err := pair[1].since(pair[0], metricDecided)
		require.ErrorContains(t, err, metricDecided+" is missing from /metrics")
	}
	none, err := readMetrics(strings.NewReader(fmt.Sprintf(metricsText, 1.0, 0, 0, 0)))
	require.NoError(t, err)
	for _, pair := range [][2]*scraped{{none, none}, {now, now}, {now, none}} {
		_, err := pair[1].since(pair[0], metricDecided)
		require.ErrorContains(t, err, metricDecided+" in /metrics has counted nothing")
	}
	_, err = now.busy(now)
	require.ErrorContains(t, err, metricCPU+" in /metrics has not grown")
}

// without is the text of /metrics less one metric.
func without(text, name string) string {
	return regexp.MustCompile(`(?m)^(# TYPE )?`+name+`.*\n`).ReplaceAllString(text, "")
}

func TestProgressAndTable(t *testing.T) {
	var progress, table bytes.Buffer
	rows := measure(t.Context(), []contender{{"x", "an x", func(_ context.Context, say func(string, ...any)) []Row {
		say("half of %d", 2)
		return []Row{atMost("x/p50", "ns", 1500).with(1234.5).beside("y", 0.5)}
	}}}, &progress)
	require.Contains(t, progress.String(), "half of 2")
	require.NoError(t, printTable(&table, rows))
	require.Regexp(t, `x/p50 +1234 +≤ 1500 +ns +y +0\.50 +met`, table.String())
}

func TestCallsThatAreWrong(t *testing.T) {
	for args, want := range map[string]string{"-only=hubb": `for example -only matcher`, "stray": `unexpected argument "stray"`, "-nosuch": "Usage"} {
		var stderr bytes.Buffer
		require.Equal(t, 2, run([]string{args}, &stderr, &stderr))
		require.Contains(t, stderr.String(), want)
	}
	var stderr bytes.Buffer
	require.Zero(t, run([]string{"--help"}, &stderr, &stderr))
	require.Contains(t, stderr.String(), "Example")
}

func TestChoose(t *testing.T) {
	chosen, err := choose("")
	require.NoError(t, err)
	require.Len(t, chosen, len(contenders))
	chosen, err = choose(" matcher")
	require.NoError(t, err)
	require.Len(t, chosen, 1)
}
