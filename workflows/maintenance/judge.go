package maintenance

import (
	"fmt"

	"github.com/leanvibe/hive/workflows/runbook"
)

// judgement is what a monitor window says of a new replica.
type judgement struct {
	// Pass is true only when enough was seen and all of it was well.
	Pass bool
	// Inconclusive: too few requests to tell. It is never a pass.
	Inconclusive bool
	Why          string
}

// judge decides over one monitor window, by nginx's own counts per address and the
// engine's state, never by what the image says of itself.
func judge(w runbook.WindowMeasure, watched runbook.Health, p runbook.RollingPolicy) judgement {
	seen, least := w.Address.Requests, max(p.MinRequests, 1)
	switch {
	case !watched.Healthy:
		return judgement{Why: or(watched.Why, "the replica did not stay healthy")}
	case float64(w.Address.Failed) > p.MaxErrorRatio*float64(max(seen, least)):
		// more failures than a window of the least size may have: no later success
		// of the same window could make up for them
		return judgement{Why: fmt.Sprintf("%d of %d requests failed, allowed are %.2f %%", w.Address.Failed, seen, 100*p.MaxErrorRatio)}
	case seen < least:
		return judgement{Inconclusive: true, Why: fmt.Sprintf("inconclusive: %d requests reached the new replica, a verdict needs %d", seen, least)}
	case slower(w, p):
		return judgement{Why: fmt.Sprintf("slower than the others: p50 %.1f ms against %.1f ms, p99 %.1f ms against %.1f ms",
			w.Address.P50MS, w.Others.P50MS, w.Address.P99MS, w.Others.P99MS)}
	default:
		return judgement{Pass: true, Why: fmt.Sprintf("%d requests, %d failed, p99 %.1f ms (others %.1f ms)",
			seen, w.Address.Failed, w.Address.P99MS, w.Others.P99MS)}
	}
}

// slower says whether the address is slower than the others by more than the
// policy allows. Both p99 and p50 must say so: where one request in a hundred is a
// long poll, p99 alone is a coin toss between milliseconds and seconds. Without
// enough requests on the others there is nothing to compare with.
func slower(w runbook.WindowMeasure, p runbook.RollingPolicy) bool {
	if p.MaxLatencyFactor <= 0 || w.Others.Requests < max(p.MinRequests, 1) {
		return false
	}
	floor := float64(p.LatencyFloor.D().Microseconds()) / 1000
	// the median of a healthy service is far below its tail, so its floor is too
	return w.Address.P99MS > w.Others.P99MS*p.MaxLatencyFactor+floor &&
		w.Address.P50MS > w.Others.P50MS*p.MaxLatencyFactor+floor/10
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
