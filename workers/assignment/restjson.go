package assignment

import (
	"time"
	"unicode/utf8"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// agentJSON is an agent as REST shows it.
type agentJSON struct {
	ID           string            `json:"id"`
	Capabilities []string          `json:"capabilities"`
	Capacity     int               `json:"capacity"`
	Running      int               `json:"running"`
	AttachedTo   string            `json:"attached_to"`
	SeenAt       time.Time         `json:"seen_at"`
	Labels       map[string]string `json:"labels,omitempty"`
}

// taskJSON is a task as REST shows it. Payload and result are text where they
// are valid UTF-8, else base64 under the other name.
type taskJSON struct {
	ID             string     `json:"id"`
	IdempotencyKey string     `json:"idempotency_key,omitempty"`
	Queue          string     `json:"queue"`
	Handler        string     `json:"handler"`
	Capabilities   []string   `json:"capabilities,omitempty"`
	Priority       int        `json:"priority"`
	Deadline       *time.Time `json:"deadline,omitempty"`
	MaxAttempts    int        `json:"max_attempts"`
	State          string     `json:"state"`
	Attempt        int        `json:"attempt"`
	Failures       int        `json:"failures"`
	Agent          string     `json:"agent,omitempty"`
	SubmittedAt    *time.Time `json:"submitted_at,omitempty"`
	StartedAt      *time.Time `json:"started_at,omitempty"`
	FinishedAt     *time.Time `json:"finished_at,omitempty"`
	Payload        string     `json:"payload,omitempty"`
	PayloadBase64  []byte     `json:"payload_base64,omitempty"`
	Result         string     `json:"result,omitempty"`
	ResultBase64   []byte     `json:"result_base64,omitempty"`
	Error          string     `json:"error,omitempty"`
}

func taskOf(t *partition.Task) taskJSON {
	j := taskJSON{
		ID: t.ID.String(), IdempotencyKey: t.Key, Queue: t.Queue, Handler: t.Handler, Capabilities: t.Capabilities,
		Priority: t.Priority, Deadline: instant(t.Deadline), MaxAttempts: t.MaxAttempts, State: t.Phase.String(),
		Attempt: t.Attempt, Failures: t.Failures, Agent: t.Agent, SubmittedAt: instant(t.Submitted),
		StartedAt: instant(t.Started), FinishedAt: instant(t.Finished), Error: t.Error,
	}
	j.Payload, j.PayloadBase64 = textOrBytes(t.Payload)
	j.Result, j.ResultBase64 = textOrBytes(t.Result)
	return j
}

// instant is a time in Unix µs, nil for none.
func instant(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	t := time.UnixMicro(micros).UTC()
	return &t
}

func textOrBytes(b []byte) (string, []byte) {
	if utf8.Valid(b) {
		return string(b), nil
	}
	return "", b
}

// statsJSON are counters as REST shows them.
type statsJSON struct {
	Queue              string `json:"queue"`
	Submitted          uint64 `json:"submitted"`
	Executions         uint64 `json:"executions"`
	Completed          uint64 `json:"completed"`
	FailedAttempts     uint64 `json:"failed_attempts"`
	LostAttempts       uint64 `json:"lost_attempts"`
	Released           uint64 `json:"released"`
	Dead               uint64 `json:"dead"`
	Expired            uint64 `json:"expired"`
	Cancelled          uint64 `json:"cancelled"`
	Redriven           uint64 `json:"redriven"`
	Archived           uint64 `json:"archived"`
	DuplicatesAnswered uint64 `json:"duplicates_answered"`
	DuplicatesRefused  uint64 `json:"duplicates_refused"`
	LateRefused        uint64 `json:"late_refused"`
	Waiting            uint64 `json:"waiting"`
	Running            uint64 `json:"running"`
}
