package health

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

var (
	latency    = runbook.Baseline{Metric: "Task Assignment", Query: "q", Unit: "ms", Better: "lower", Excellent: 0.01, Good: 0.1, Warning: 1, Critical: 10}
	throughput = runbook.Baseline{Metric: "Message Throughput", Query: "m", Unit: "/s", Better: "higher", Excellent: 18000, Good: 15000, Warning: 10000, Critical: 8000}
)

func TestGradeClosesTheRunbooksGaps(t *testing.T) {
	cases := []struct {
		name  string
		b     runbook.Baseline
		value float64
		want  runbook.Severity
	}{
		{"excellent", latency, 0.009, runbook.Excellent},
		{"border of excellent", latency, 0.01, runbook.Good},
		{"good", latency, 0.09, runbook.Good},
		{"warning band", latency, 0.5, runbook.Warning},
		{"border of warning", latency, 1, runbook.Warning},
		{"the gap", latency, 5, runbook.Warning},
		{"border of critical", latency, 10, runbook.Critical},
		{"critical", latency, 11, runbook.Critical},
		{"higher: excellent", throughput, 18001, runbook.Excellent},
		{"higher: good", throughput, 15001, runbook.Good},
		{"higher: border of good", throughput, 15000, runbook.Warning},
		{"higher: the gap", throughput, 9000, runbook.Warning},
		{"higher: border of critical", throughput, 8000, runbook.Critical},
		{"higher: nothing", throughput, 0, runbook.Critical},
		{"not a number is never good", latency, math.NaN(), runbook.Critical},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, _ := grade(c.b, runbook.Sample{Found: true, Value: c.value}, nil)
			require.Equal(t, c.want, got)
		})
	}
}

func TestGradeNoDataIsNeverOK(t *testing.T) {
	for name, c := range map[string]struct {
		sample runbook.Sample
		idle   *runbook.Sample
	}{
		"no sample":       {runbook.Sample{}, nil},
		"a failed query":  {runbook.Sample{Err: "parse error", Found: true}, nil},
		"idle":            {runbook.Sample{Found: true, Value: 0.001}, &runbook.Sample{Found: true, Value: 0}},
		"idle, no sample": {runbook.Sample{}, &runbook.Sample{Found: true, Value: 0}},
	} {
		t.Run(name, func(t *testing.T) {
			got, said := grade(latency, c.sample, c.idle)
			require.Equal(t, runbook.NoData, got)
			require.NotEmpty(t, said)
		})
	}
	got, _ := grade(latency, runbook.Sample{Found: true, Value: 0.001}, &runbook.Sample{Found: true, Value: 3})
	require.Equal(t, runbook.Excellent, got, "busy: judged")
}

func TestGradeBaselinesPairsAnswersWithIdleQueries(t *testing.T) {
	withIdle := latency
	withIdle.IdleQuery = "traffic"
	rows := []runbook.Baseline{withIdle, throughput}
	require.Equal(t, []string{"q", "traffic", "m"}, baselineQueries(rows))
	answers := runbook.Samples{Samples: []runbook.Sample{{Found: true, Value: 0.5}, {Found: true, Value: 1}, {Found: true, Value: 20000}}}
	checks := gradeBaselines(rows, answers, nil)
	require.Equal(t, runbook.Warning, checks[0].Verdict)
	require.Equal(t, runbook.Excellent, checks[1].Verdict)
	require.False(t, checks[1].Required)

	short := gradeBaselines(rows, runbook.Samples{}, nil)
	require.Equal(t, runbook.NoData, short[0].Verdict, "a lost answer is no data")
	away := gradeBaselines(rows, runbook.Samples{}, errors.New("connection refused"))
	require.Equal(t, runbook.NoData, away[1].Verdict)
	require.Contains(t, away[1].What, "connection refused")
}
