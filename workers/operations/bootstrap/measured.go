package bootstrap

import (
	"context"
	"fmt"
	"time"

	"github.com/leanvibe/hive/activities/prometheus"
	"github.com/leanvibe/hive/workflows/runbook"
)

// firstSample is how long the first measurement of new containers takes at most:
// opsworker takes one, then Prometheus comes for it.
const firstSample = 45 * time.Second

// awaitMeasures waits until Prometheus has a sample for every baseline that
// readiness requires: before, ReadinessCheck would say "no data", and be right.
// Prometheus may be broken; that is ReadinessCheck's to judge, so this only says so.
func (u *up) awaitMeasures(ctx context.Context) error {
	in := runbook.QueriesInput{MetricsInput: runbook.MetricsInput{URL: u.policy.Metrics.Prometheus}}
	for _, b := range u.policy.Baselines {
		if b.Required {
			in.Queries = append(in.Queries, b.Query)
		}
	}
	if len(in.Queries) == 0 {
		return nil
	}
	t := u.progress.begin("first measurements")
	defer t.quit()
	limit := time.NewTimer(firstSample)
	defer limit.Stop()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := unmeasured(ctx, in)
		if missing == "" {
			return nil
		}
		t.at("%s", missing)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			u.progress.say("after %s still no measurement: %s; hive run ReadinessCheck looks closer", firstSample, missing)
			return nil
		case <-tick.C:
		}
	}
}

// unmeasured says what has no sample yet, or "".
func unmeasured(ctx context.Context, in runbook.QueriesInput) string {
	out, err := prometheus.Hand{}.Query(ctx, in)
	if err != nil {
		return runbook.Reason(err)
	}
	for _, s := range out.Samples {
		if !s.Found {
			return fmt.Sprintf("no sample for %s", s.Query)
		}
	}
	return ""
}
