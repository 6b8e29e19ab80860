package probe

import (
	"context"
	"fmt"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

// holdDeadline bounds an awaited answer that names no deadline.
const holdDeadline = 2 * time.Minute

// AwaitAnswer answers runbook.AwaitAnswer: one answer that is not 2xx begins the
// holding time anew.
func (h Hand) AwaitAnswer(ctx context.Context, in runbook.AwaitAnswerInput) (runbook.Health, error) {
	start := time.Now()
	deadline := start.Add(in.Deadline.Or(holdDeadline))
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var since time.Time // of unbroken health
	for {
		beat(ctx, nil)
		asked := time.Now()
		answer, err := h.Ask(ctx, runbook.AskInput{URL: in.URL, Timeout: runbook.Duration(askDefault)})
		if err != nil {
			return runbook.Health{}, err
		}
		if ctx.Err() != nil {
			return runbook.Health{}, ctx.Err()
		}
		why := unwell(answer)
		if why != "" {
			since = time.Time{}
		} else if since.IsZero() {
			since = asked
		}
		took := runbook.Duration(time.Since(start))
		if !since.IsZero() && time.Since(since) >= in.Hold.D() {
			return runbook.Health{Healthy: true, Took: took}, nil
		}
		if time.Now().After(deadline) {
			if why == "" {
				why = fmt.Sprintf("healthy for %s only, not yet for %s", time.Since(since).Round(time.Millisecond), in.Hold)
			}
			return runbook.Health{Why: why, Took: took}, nil
		}
		select {
		case <-ctx.Done():
			return runbook.Health{}, ctx.Err()
		case <-tick.C:
		}
	}
}

// unwell says why an answer is not healthy, or "". A TCP connect has no status.
func unwell(a runbook.Answer) string {
	switch {
	case a.Err != "":
		return a.Err
	case a.Status != 0 && (a.Status < 200 || a.Status > 299):
		return fmt.Sprintf("status %d: %.200s", a.Status, a.Body)
	}
	return ""
}
