package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/leanvibe/hive/tests/load"
	"github.com/leanvibe/hive/workflows/runbook"
)

// traffic is the loader's measurement in the report's own form.
func traffic(r *load.Result) runbook.Traffic {
	duplicated := r.Duplicated
	return runbook.Traffic{
		Source: r.Source, Requests: r.Requests, Failed: r.Failed, Duplicated: &duplicated, LongestGapMS: r.LongestGapMS,
		P99BeforeMS: r.P99BeforeMS, P99DuringMS: r.P99DuringMS, P99AfterMS: r.P99AfterMS,
	}
}

// merge puts the loader's measurement into the run's report, beside what nginx's log and the probe said. A report that
// is older than this run is another run's: the procedure left none, and that is an error.
func merge(path string, begun time.Time, r *load.Result) (runbook.Report, error) {
	var report runbook.Report
	raw, err := os.ReadFile(path)
	if err != nil {
		return report, fmt.Errorf("the run left no report: %w", err)
	}
	if err := json.Unmarshal(raw, &report); err != nil {
		return report, fmt.Errorf("%s: %w", path, err)
	}
	if report.Started.Before(begun) {
		return report, fmt.Errorf("%s is of a run that started at %s, before this one: the run left no report", path, report.Started.Format(time.RFC3339))
	}
	report.Traffic = append(report.Traffic, traffic(r))
	merged, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return report, fmt.Errorf("%s: %w", path, err)
	}
	return report, replace(path, append(merged, '\n'))
}

// replace writes a file whole or not at all.
func replace(path string, body []byte) error {
	partial := path + ".partial"
	if err := os.WriteFile(partial, body, 0o600); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return os.Rename(partial, path)
}

// windows is the time in which at least one monitor window was open: they are a policy's choice of patience, so the run
// shows them apart from its work.
func windows(steps []runbook.StepReport) time.Duration {
	type edge struct {
		at   time.Time
		open int
	}
	var edges []edge
	for _, s := range steps {
		if s.Name == runbook.MeasureWindow.Name && s.Finished.After(s.Started) {
			edges = append(edges, edge{s.Started, 1}, edge{s.Finished, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if order := a.at.Compare(b.at); order != 0 {
			return order
		}
		return b.open - a.open // one that begins where another ends leaves no gap
	})
	var total time.Duration
	var since time.Time
	open := 0
	for _, e := range edges {
		if open == 0 {
			since = e.at
		}
		if open += e.open; open == 0 {
			total += e.at.Sub(since)
		}
	}
	return total
}
