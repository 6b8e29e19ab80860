package runbook

// Severity grades a finding or a baseline. NoData is a verdict of its own, never OK.
type Severity string

const (
	// Excellent to Critical are the runbook's bands (Performance Baselines).
	Excellent Severity = "excellent"
	// Good is within target.
	Good Severity = "good"
	// Warning wants a look.
	Warning Severity = "warning"
	// Critical wants action; a check with one is not ready.
	Critical Severity = "critical"
	// NoData means that nothing could be observed; a check with one is not ready.
	NoData Severity = "no data"
)
