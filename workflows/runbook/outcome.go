package runbook

// Outcome is how a procedure ended, a closed set; it is also the search
// attribute OpsOutcome.
type Outcome string

const (
	// Succeeded: everything planned is done and verified.
	Succeeded Outcome = "succeeded"
	// Failed: something could not be done, and could not be wholly undone.
	Failed Outcome = "failed"
	// Reverted: something failed and everything done was undone.
	Reverted Outcome = "reverted"
	// RefusedRun: nothing was begun: a lock is held, or the input or state forbids it.
	RefusedRun Outcome = "refused"
	// Aborted: stopped on request at a safe point, and undone.
	Aborted Outcome = "aborted"
	// Planned: plan mode; nothing was changed.
	Planned Outcome = "planned"
)

// StepOutcome is how one step of a run ended.
type StepOutcome string

const (
	// StepRunning: begun, not ended.
	StepRunning StepOutcome = "running"
	// StepDone: did what the plan says, or found it done.
	StepDone StepOutcome = "done"
	// StepSkipped: not needed or not possible any more; Note says why.
	StepSkipped StepOutcome = "skipped"
	// StepFailed: could not be done; Note says why.
	StepFailed StepOutcome = "failed"
	// StepUndone: done, and put back.
	StepUndone StepOutcome = "undone"
)
