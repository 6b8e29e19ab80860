package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// line is a task in a segment, under the names of the table's columns. Payload and
// result are base64; text that is no UTF-8 is replaced as in the table.
type line struct {
	ID           partition.TaskID `json:"id"`
	Key          string           `json:"idempotency_key,omitempty"`
	Queue        string           `json:"queue"`
	Handler      string           `json:"handler"`
	Capabilities []string         `json:"capabilities,omitempty"`
	Priority     int              `json:"priority"`
	Deadline     stamp            `json:"deadline,omitzero"`
	MaxAttempts  int              `json:"max_attempts"`
	Payload      []byte           `json:"payload,omitempty"`
	State        string           `json:"state"`
	Attempt      int              `json:"attempt"`
	Failures     int              `json:"failures"`
	Agent        string           `json:"agent,omitempty"`
	Submitted    stamp            `json:"submitted_at,omitzero"`
	Started      stamp            `json:"started_at,omitzero"`
	Finished     stamp            `json:"finished_at,omitzero"`
	Result       []byte           `json:"result,omitempty"`
	Error        string           `json:"error,omitempty"`
}

// writeLine adds a task to buf as one line with its end.
func writeLine(buf *bytes.Buffer, t *partition.Task) error {
	to := json.NewEncoder(buf)
	to.SetEscapeHTML(false)
	return to.Encode(line{
		ID: t.ID, Key: t.Key, Queue: t.Queue, Handler: t.Handler, Capabilities: t.Capabilities, Priority: t.Priority,
		Deadline: stamp(t.Deadline), MaxAttempts: t.MaxAttempts, Payload: t.Payload, State: t.Phase.String(),
		Attempt: t.Attempt, Failures: t.Failures, Agent: t.Agent, Submitted: stamp(t.Submitted),
		Started: stamp(t.Started), Finished: stamp(t.Finished), Result: t.Result, Error: t.Error,
	})
}

// readLine is the inverse of writeLine. What a newer program wrote besides is ignored.
func readLine(b []byte) (partition.Task, error) {
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return partition.Task{}, err
	}
	phase, err := phaseOf(l.State)
	if err != nil {
		return partition.Task{}, err
	}
	return partition.Task{
		Draft: partition.Draft{
			ID: l.ID, Key: l.Key, Queue: l.Queue, Handler: l.Handler, Capabilities: l.Capabilities, Priority: l.Priority,
			Deadline: int64(l.Deadline), MaxAttempts: l.MaxAttempts, Payload: l.Payload,
		},
		Phase: phase, Attempt: l.Attempt, Failures: l.Failures, Agent: l.Agent, Submitted: int64(l.Submitted),
		Started: int64(l.Started), Finished: int64(l.Finished), Result: l.Result, Error: l.Error,
	}, nil
}

// stamp is a time in Unix µs, written as RFC 3339 in UTC, or as the number where that
// cannot say it: a line is never refused for its times.
type stamp int64

// stampForm has a fixed length, so that text compares as time does.
const stampForm = `"2006-01-02T15:04:05.000000Z"`

// MarshalJSON implements json.Marshaler.
func (s stamp) MarshalJSON() ([]byte, error) {
	if s < 0 || s > latest {
		return strconv.AppendInt(nil, int64(s), 10), nil
	}
	return time.UnixMicro(int64(s)).UTC().AppendFormat(nil, stampForm), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *stamp) UnmarshalJSON(b []byte) error {
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		*s = stamp(n)
		return nil
	}
	t, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(b))
	if err != nil {
		return fmt.Errorf("time %s is neither RFC 3339 nor Unix µs", b)
	}
	*s = stamp(t.UnixMicro())
	return nil
}
