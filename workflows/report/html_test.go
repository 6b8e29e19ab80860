package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func number(v float64) *float64 { return &v }

func count(v int64) *int64 { return &v }

func sample(outcome runbook.Outcome) runbook.Report {
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	step := func(name, target string, from, to float64, o runbook.StepOutcome, changed bool, note string) runbook.StepReport {
		return runbook.StepReport{Name: name, Target: target, Started: at(from), Finished: at(to), Outcome: o, Changed: changed, Note: note, Undo: "none"}
	}
	return runbook.Report{
		Procedure: "WeeklyMaintenance", Run: "weekly-maintenance/01998a-7c", Outcome: outcome, Started: start, Finished: at(190),
		Steps: []runbook.StepReport{
			step("policy.Load", "", 0, 0.3, runbook.StepDone, false, ""),
			step("containers.PullImage", "universal-orchestrator", 2, 9, runbook.StepDone, true, ""),
			step("containers.CreateReplica", "universal-orchestrator-3", 9, 11, runbook.StepDone, true, ""),
			step("proxy.MeasureWindow", "universal-orchestrator-3", 20, 45, runbook.StepDone, false, "3120 requests, 0 failed, p99 4.1 ms (others 4.3 ms)"),
			step("containers.StopReplica", "universal-orchestrator-1", 17, 20, runbook.StepUndone, true, ""),
			step("database.RebuildIndex", "public.tasks_queue_idx", 120, 131, runbook.StepSkipped, false, "pid 4711 of pgbench holds a transaction for 3m"),
			step("hosts.CompressLog", "hub/x-2026-11-10.log", 150, 152, runbook.StepFailed, false, "no space left on device"),
		},
		Traffic: []runbook.Traffic{
			{Source: "nginx", Requests: 95213, LongestGapMS: number(14), P99BeforeMS: number(8.31), P99DuringMS: number(12.4), P99AfterMS: number(7.9)},
			{Source: "loader", Requests: 95213, Failed: 3, Duplicated: count(0), P99BeforeMS: number(9), P99DuringMS: number(13)},
			{Source: "probe"},
		},
		Plan: runbook.PlanSummary{Hash: "sha256:abc", Changes: []runbook.Change{
			{Step: "containers.PullImage", Target: "universal-orchestrator", What: "pull x@sha256:1", Effect: "write", Reason: "newer <script>"}},
			Differences: []runbook.Difference{{Step: "hosts.DeleteLog", Target: "a.gz", What: "planned deletion, found younger"}}},
		Findings: []runbook.Finding{{Severity: runbook.Good, Target: "nginx", What: "found, not adopted"},
			{Severity: runbook.Warning, Target: "redis-node2", What: "its container log has no limit"}},
	}
}

func TestHTMLShowsEveryPartAndEscapes(t *testing.T) {
	r := sample(runbook.Reverted)
	r.Reason = `<img src=x onerror="alert(1)">`
	page, err := HTML(r)
	require.NoError(t, err)
	for _, want := range []string{"Weekly Maintenance", "reverted", "Rebuild Index", "pid 4711", "found, not adopted", "no data",
		"3 lost", "planned deletion, found younger", "sha256:abc", "left:1.05%", "newer &lt;script&gt;"} {
		require.Contains(t, page, want)
	}
	for _, never := range []string{"<img", "ZgotmplZ", "http://", "https://", "<script"} {
		require.NotContains(t, page, never)
	}
	again, err := HTML(r)
	require.NoError(t, err)
	require.Equal(t, page, again, "the same report gives the same bytes")
}

func TestHTMLNothingMeasuredIsNotFine(t *testing.T) {
	page, err := HTML(runbook.Report{Procedure: "LogManagement", Outcome: runbook.Succeeded, Started: start, Finished: start})
	require.NoError(t, err)
	require.Contains(t, page, "No data: nothing was measured")
	require.NotContains(t, page, "none lost")
}

func TestHTMLOfThousandsOfStepsFits(t *testing.T) {
	r := sample(runbook.Succeeded)
	for i := range 9000 {
		r.Steps = append(r.Steps, runbook.StepReport{Name: "hosts.CompressLog", Target: fmt.Sprintf("%0100d.log", i), Outcome: runbook.StepDone,
			Changed: i%2 == 0, Started: start, Finished: start, Note: strings.Repeat("n", 200)})
	}
	page, err := HTML(r)
	require.NoError(t, err)
	require.LessOrEqual(t, len(page), 1<<20)
	require.Contains(t, page, "are only in report.json")
}

func TestTrafficVerdict(t *testing.T) {
	cases := map[string]struct {
		in   runbook.Traffic
		tone string
	}{
		"nothing seen":         {runbook.Traffic{}, "nodata"},
		"none lost":            {runbook.Traffic{Requests: 5}, "good"},
		"one lost":             {runbook.Traffic{Requests: 5, Failed: 1}, "critical"},
		"one twice":            {runbook.Traffic{Requests: 5, Duplicated: count(1)}, "critical"},
		"within 20 ms more":    {runbook.Traffic{Requests: 5, P99BeforeMS: number(3), P99DuringMS: number(22)}, "good"},
		"beyond twice and 20":  {runbook.Traffic{Requests: 5, P99BeforeMS: number(3), P99DuringMS: number(24)}, "warning"},
		"within twice of much": {runbook.Traffic{Requests: 5, P99BeforeMS: number(100), P99DuringMS: number(199)}, "good"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.tone, trafficRow(c.in).Tone) })
	}
}

func TestNumbersForPeople(t *testing.T) {
	require.Equal(t, "12\u202f345", group(12345))
	require.Equal(t, "-123", group(-123))
	require.Equal(t, "3\u202fmin 10\u202fs", lasted(190*time.Second))
	require.Equal(t, "2\u202fh 05\u202fmin", lasted(125*time.Minute))
	require.Equal(t, "250\u202fms", lasted(250*time.Millisecond))
}
