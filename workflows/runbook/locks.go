package runbook

import "time"

// AwaitLockInput names a lock workflow to wait for.
type AwaitLockInput struct {
	// Lock is the workflow ID, "lock:<resource>".
	Lock string `json:"lock"`
	// Self is the waiting workflow's ID; a lock that an earlier, closed run of the
	// same ID left is broken on the record.
	Self  string    `json:"self"`
	Until time.Time `json:"until"`
}

// Holder is who holds, or held, a lock.
type Holder struct {
	WorkflowID string    `json:"workflowId"`
	RunID      string    `json:"runId"`
	Since      time.Time `json:"since"`
	// Free: the lock's run has closed, or was broken because its holder is gone.
	Free   bool `json:"free"`
	Broken bool `json:"broken,omitempty"`
}

// AwaitLock waits for the lock's close, bounded; not free at Until is an answer.
// A lock whose holder is closed is terminated by run ID and said so.
var AwaitLock = Step[AwaitLockInput, Holder]{
	Name: "locks.Await", Timeout: 2 * time.Hour, Total: 3 * time.Hour,
	Summary: func(in AwaitLockInput) string { return "wait for " + in.Lock },
}
