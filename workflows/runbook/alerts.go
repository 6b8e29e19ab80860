package runbook

import "time"

// AlertsInput says where Alertmanager answers.
type AlertsInput struct {
	URL string `json:"url"`
}

// Alert is one firing alert.
type Alert struct {
	Name     string            `json:"name"`
	Severity string            `json:"severity"`
	Labels   map[string]string `json:"labels"`
	Since    time.Time         `json:"since"`
	Silenced bool              `json:"silenced"`
}

// AlertsState is what fires now.
type AlertsState struct {
	Alerts []Alert `json:"alerts"`
}

// ListAlerts lists active alerts from Alertmanager's API.
var ListAlerts = Step[AlertsInput, AlertsState]{
	Name: "alerts.List", Timeout: 5 * time.Second, Total: 45 * time.Second, Attempts: 5,
	Summary: func(AlertsInput) string { return "alerts that fire" },
}

// SilenceInput is a scoped silence: it mutes what a procedure is expected to
// disturb, for a bounded time.
type SilenceInput struct {
	Fence
	URL string `json:"url"`
	// ID is empty to open one; else that silence is extended or closed.
	ID string `json:"id,omitempty"`
	// Matchers are label = value pairs, all of which must match; never empty.
	Matchers map[string]string `json:"matchers,omitempty"`
	For      Duration          `json:"for,omitempty"`
	Comment  string            `json:"comment,omitempty"`
	// Run makes opening idempotent: a silence of the same run is adopted.
	Run string `json:"run"`
}

// Silence is an open silence.
type Silence struct {
	ID    string    `json:"id"`
	Until time.Time `json:"until"`
}

// OpenSilence opens a silence, or extends the one with ID.
var OpenSilence = Step[SilenceInput, Silence]{
	Name: "alerts.OpenSilence", Effect: Write, Timeout: 10 * time.Second, Total: 30 * time.Second,
	Summary: func(in SilenceInput) string { return "silence alerts for " + in.For.String() },
}

// CloseSilence ends the silence; ended or unknown already is success.
var CloseSilence = Step[SilenceInput, Changed]{
	Name: "alerts.CloseSilence", Effect: Write, Timeout: 10 * time.Second, Total: 30 * time.Second,
	Summary: func(SilenceInput) string { return "end the silence" },
}
