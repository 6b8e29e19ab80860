package runbook

import "time"

// MetricsInput says where Prometheus answers.
type MetricsInput struct {
	URL string `json:"url"`
}

// QueriesInput asks several PromQL queries at one instant.
type QueriesInput struct {
	MetricsInput
	Queries []string `json:"queries"`
}

// Sample is a query's answer. Found is false where there is no sample, or it is NaN.
type Sample struct {
	Query string  `json:"query"`
	Found bool    `json:"found"`
	Value float64 `json:"value"`
	Err   string  `json:"err,omitempty"`
}

// Samples are the answers in the order asked.
type Samples struct {
	At      time.Time `json:"at"`
	Samples []Sample  `json:"samples"`
}

// QueryMetrics asks Prometheus. One that is away is Unreachable.
var QueryMetrics = Step[QueriesInput, Samples]{
	Name: "metrics.Query", Timeout: 5 * time.Second, Total: 45 * time.Second, Attempts: 5,
	Summary: func(QueriesInput) string { return "query Prometheus" },
}

// MetricsState is whether Prometheus itself is in order.
type MetricsState struct {
	Ready       bool     `json:"ready"`
	TargetsUp   int      `json:"targetsUp"`
	TargetsDown []string `json:"targetsDown"`
	Rules       int      `json:"rules"`
	RulesFailed []string `json:"rulesFailed"`
}

// ObserveMetrics reads targets and rules.
var ObserveMetrics = Step[MetricsInput, MetricsState]{
	Name: "metrics.Observe", Timeout: 5 * time.Second, Total: 45 * time.Second, Attempts: 5,
	Summary: func(MetricsInput) string { return "targets and rules of Prometheus" },
}
