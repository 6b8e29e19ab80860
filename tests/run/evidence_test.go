package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/load"
	"github.com/leanvibe/hive/workflows/runbook"
)

var begun = time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)

func TestMergeAddsTheLoadersSide(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	written, err := json.Marshal(runbook.Report{Procedure: "WeeklyMaintenance", Started: begun.Add(time.Second), Traffic: []runbook.Traffic{{Source: "nginx"}}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, written, 0o600))
	gap := 12.5
	_, err = merge(path, begun, &load.Result{Source: "loader", Requests: 500, LongestGapMS: &gap})
	require.NoError(t, err)

	var report runbook.Report
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &report))
	require.Len(t, report.Traffic, 2)
	require.Equal(t, "loader", report.Traffic[1].Source)
	require.EqualValues(t, 500, report.Traffic[1].Requests)
	require.NotNil(t, report.Traffic[1].Duplicated)
	require.Nil(t, report.Traffic[1].P99BeforeMS, "not measured stays not measured")
}

func TestMergeRefusesAReportOfAnotherRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	_, err := merge(path, begun, &load.Result{})
	require.ErrorContains(t, err, "left no report")
	written, err := json.Marshal(runbook.Report{Started: begun.Add(-time.Hour)})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, written, 0o600))
	_, err = merge(path, begun, &load.Result{})
	require.ErrorContains(t, err, "left no report")
}

func TestWindowsAreCountedOnceWhereTheyOverlap(t *testing.T) {
	at := func(s int) time.Time { return begun.Add(time.Duration(s) * time.Second) }
	name := runbook.MeasureWindow.Name
	require.Equal(t, 40*time.Second, windows([]runbook.StepReport{
		{Name: name, Started: at(0), Finished: at(25)},
		{Name: name, Started: at(10), Finished: at(30)},
		{Name: name, Started: at(30), Finished: at(35)},
		{Name: name, Started: at(50), Finished: at(55)},
		{Name: "containers.CreateReplica", Started: at(60), Finished: at(70)},
	}))
	require.Zero(t, windows(nil))
}
