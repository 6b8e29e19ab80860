package runbook

import "time"

// Report is what every procedure returns and what report.json holds.
type Report struct {
	Procedure string  `json:"procedure"`
	Run       string  `json:"run"`
	Outcome   Outcome `json:"outcome"`
	// Reason says why, where the outcome is not succeeded or planned.
	Reason   string       `json:"reason,omitempty"`
	Started  time.Time    `json:"started"`
	Finished time.Time    `json:"finished"`
	Steps    []StepReport `json:"steps"`
	// Traffic are measurements of user traffic over the run, one per source
	// (nginx's log, the probe, a loader); empty when nothing was measured.
	Traffic []Traffic   `json:"traffic"`
	Plan    PlanSummary `json:"plan"`
	// Findings are things an operator should know that were not acted on.
	Findings []Finding `json:"findings,omitempty"`
	// Ledger is where the ledger stood at the end; nil in a child's report.
	Ledger *LedgerHead `json:"ledger,omitempty"`
}

// PlanSummary is the plan's identity, its changes and how the run departed from it.
type PlanSummary struct {
	Hash        string       `json:"hash"`
	Changes     []Change     `json:"changes,omitempty"`
	Differences []Difference `json:"differences"`
}

// StepReport is one step as it happened.
type StepReport struct {
	Name     string      `json:"name"`
	Target   string      `json:"target,omitempty"`
	Outcome  StepOutcome `json:"outcome"`
	Changed  bool        `json:"changed"`
	Started  time.Time   `json:"started"`
	Finished time.Time   `json:"finished"`
	// Undo names what would put it back, or says "none".
	Undo string `json:"undo,omitempty"`
	Note string `json:"note,omitempty"`
}

// Traffic is one source's measurement of requests over a run. Pointers are nil
// where the source cannot know.
type Traffic struct {
	Source       string   `json:"source"`
	Requests     int64    `json:"requests"`
	Failed       int64    `json:"failed"`
	Duplicated   *int64   `json:"duplicated"`
	LongestGapMS *float64 `json:"longest_gap_ms"`
	P99BeforeMS  *float64 `json:"p99_before_ms"`
	P99DuringMS  *float64 `json:"p99_during_ms"`
	P99AfterMS   *float64 `json:"p99_after_ms"`
}

// Finding is a fact with a grade, such as an image found and not adopted.
type Finding struct {
	Severity Severity `json:"severity"`
	Target   string   `json:"target"`
	What     string   `json:"what"`
}

// Progress is what the query "progress" answers while a run goes on.
type Progress struct {
	Procedure string       `json:"procedure"`
	Phase     string       `json:"phase"`
	Outcome   Outcome      `json:"outcome,omitempty"`
	Plan      Plan         `json:"plan"`
	Steps     []StepReport `json:"steps"`
	// Children are workflow IDs of child procedures, to follow them too.
	Children []string `json:"children,omitempty"`
}

// ProgressQuery is the name of the query that answers a Progress.
const ProgressQuery = "progress"
