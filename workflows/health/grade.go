package health

import (
	"fmt"
	"strconv"

	"github.com/leanvibe/hive/workflows/runbook"
)

// BandDecision is printed with the baselines table: the runbook leaves gaps
// between its bands, and this is how they are closed.
const BandDecision = "The runbook leaves a gap between Warning and Critical (for example 1 ms to 10 ms): " +
	"a value in the gap is warning until it reaches critical. A value exactly on a border belongs to the worse band. " +
	"A baseline without a sample, or without traffic to judge, says \"no data\", never good; " +
	"only baselines that the policy calls required make the stack not ready."

// grade puts a sample into the runbook's bands. idle is the answer of the
// baseline's idle query, nil where it has none.
func grade(b runbook.Baseline, sample runbook.Sample, idle *runbook.Sample) (runbook.Severity, string) {
	if sample.Err != "" {
		return runbook.NoData, "the query failed: " + sample.Err
	}
	if idle != nil && idle.Found && idle.Value == 0 {
		return runbook.NoData, "no traffic to judge"
	}
	if !sample.Found {
		return runbook.NoData, "Prometheus has no sample for " + b.Query
	}
	return band(b, sample.Value), fmt.Sprintf("%s (%s)", measured(sample.Value, b.Unit), bands(b))
}

func band(b runbook.Baseline, v float64) runbook.Severity {
	better := func(limit float64) bool { return v < limit }
	if b.Better == "higher" {
		better = func(limit float64) bool { return v > limit }
	}
	switch {
	case better(b.Excellent):
		return runbook.Excellent
	case better(b.Good):
		return runbook.Good
	case better(b.Critical):
		return runbook.Warning
	default:
		return runbook.Critical
	}
}

func bands(b runbook.Baseline) string {
	better, worst := "<", "≥"
	if b.Better == "higher" {
		better, worst = ">", "≤"
	}
	return fmt.Sprintf("excellent %s%s, good %s%s, critical %s%s", better, measured(b.Excellent, b.Unit),
		better, measured(b.Good, b.Unit), worst, measured(b.Critical, b.Unit))
}

func measured(v float64, unit string) string {
	s := strconv.FormatFloat(v, 'g', 4, 64)
	if unit == "" {
		return s
	}
	if unit == "%" {
		return s + unit
	}
	return s + " " + unit
}

// baselineQueries lists the queries of the baselines, each with its idle query
// behind it where it has one.
func baselineQueries(baselines []runbook.Baseline) []string {
	var out []string
	for _, b := range baselines {
		out = append(out, b.Query)
		if b.IdleQuery != "" {
			out = append(out, b.IdleQuery)
		}
	}
	return out
}

// gradeBaselines makes one check of each baseline from the answers to
// baselineQueries, in that order.
func gradeBaselines(baselines []runbook.Baseline, samples runbook.Samples, err error) []Check {
	var checks []Check
	next := 0
	take := func() runbook.Sample {
		if next >= len(samples.Samples) {
			return runbook.Sample{}
		}
		s := samples.Samples[next]
		next++
		return s
	}
	for _, b := range baselines {
		c := Check{Name: "baseline: " + b.Metric, Required: b.Required}
		if err != nil {
			c.Verdict, c.What = runbook.NoData, runbook.Reason(err)
			checks = append(checks, c)
			continue
		}
		sample := take()
		var idle *runbook.Sample
		if b.IdleQuery != "" {
			s := take()
			idle = &s
		}
		c.Verdict, c.What = grade(b, sample, idle)
		checks = append(checks, c)
	}
	return checks
}
