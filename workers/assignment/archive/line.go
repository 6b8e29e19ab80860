package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

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

// appendLine adds a task to b as one line with its end: what encoding/json makes of a
// line, at a fifth of its cost.
func appendLine(b []byte, t *partition.Task) []byte {
	b = append(b, `{"id":"`...)
	b = appendID(b, t.ID)
	b = append(b, '"')
	if t.Key != "" {
		b = appendText(append(b, `,"idempotency_key":`...), t.Key)
	}
	b = appendText(append(b, `,"queue":`...), t.Queue)
	b = appendText(append(b, `,"handler":`...), t.Handler)
	for i, c := range t.Capabilities {
		if i == 0 {
			b = append(b, `,"capabilities":[`...)
		}
		b = append(appendText(b, c), ',')
	}
	if len(t.Capabilities) > 0 {
		b[len(b)-1] = ']'
	}
	b = appendNumber(b, `,"priority":`, t.Priority)
	b = appendStamp(b, `,"deadline":`, t.Deadline)
	b = appendNumber(b, `,"max_attempts":`, t.MaxAttempts)
	b = appendBody(b, `,"payload":"`, t.Payload)
	b = appendText(append(b, `,"state":`...), t.Phase.String())
	b = appendNumber(b, `,"attempt":`, t.Attempt)
	b = appendNumber(b, `,"failures":`, t.Failures)
	if t.Agent != "" {
		b = appendText(append(b, `,"agent":`...), t.Agent)
	}
	b = appendStamp(b, `,"submitted_at":`, t.Submitted)
	b = appendStamp(b, `,"started_at":`, t.Started)
	b = appendStamp(b, `,"finished_at":`, t.Finished)
	b = appendBody(b, `,"result":"`, t.Result)
	if t.Error != "" {
		b = appendText(append(b, `,"error":`...), t.Error)
	}
	return append(b, "}\n"...)
}

func appendID(b []byte, id partition.TaskID) []byte {
	from := 0
	for _, to := range []int{4, 6, 8, 10} {
		b = append(hex.AppendEncode(b, id[from:to]), '-')
		from = to
	}
	return hex.AppendEncode(b, id[from:])
}

func appendNumber(b []byte, name string, n int) []byte {
	return strconv.AppendInt(append(b, name...), int64(n), 10)
}

// appendBody leaves out what is empty; name ends with the quote that begins the value.
func appendBody(b []byte, name string, body []byte) []byte {
	if len(body) == 0 {
		return b
	}
	return append(base64.StdEncoding.AppendEncode(append(b, name...), body), '"')
}

// appendStamp leaves out what is no time.
func appendStamp(b []byte, name string, micros int64) []byte {
	if micros == 0 {
		return b
	}
	return stamp(micros).append(append(b, name...))
}

// appendText adds a string. What is not plain is left to encoding/json.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return appendOddText(b, text)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

func appendOddText(b []byte, text string) []byte {
	buf := bytes.NewBuffer(b)
	to := json.NewEncoder(buf)
	to.SetEscapeHTML(false)
	_ = to.Encode(text) // a string always encodes
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// readLine is the inverse of appendLine. What a newer program wrote besides is ignored.
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

// append adds the time as JSON.
func (s stamp) append(b []byte) []byte {
	if s < 0 || s > latest {
		return strconv.AppendInt(b, int64(s), 10)
	}
	return time.UnixMicro(int64(s)).UTC().AppendFormat(b, stampForm)
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
