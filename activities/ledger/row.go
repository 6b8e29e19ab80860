package ledger

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Outcome is what a row says of an attempt of an act.
type Outcome string

const (
	// Started: the hand was about to act. A row of its own, which may repeat.
	Started Outcome = "started"
	// Done: the effect is there. At most one row of an effect says done or adopted.
	Done Outcome = "done"
	// Adopted: a retry found the effect there already.
	Adopted Outcome = "adopted"
	// Confirmed: the effect stood on the record already.
	Confirmed Outcome = "confirmed"
	// Failed: the attempt failed, for the row's kind.
	Failed Outcome = "failed"
	// Refused: the hand would not.
	Refused Outcome = "refused"
	// Canceled: the attempt was told to stop, and did.
	Canceled Outcome = "canceled"
	// Broken: what the ledger itself found wrong when it went on writing.
	Broken Outcome = "broken"
)

// Outcomes are all of them.
func Outcomes() []Outcome {
	return []Outcome{Started, Done, Adopted, Confirmed, Failed, Refused, Canceled, Broken}
}

// settles says whether the outcome is the one that an effect has once.
func (o Outcome) settles() bool { return o == Done || o == Adopted }

// Hash is a keyed hash or a digest.
type Hash [32]byte

// String is the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (h *Hash) UnmarshalText(text []byte) error {
	if n, err := hex.Decode(h[:], text[:min(len(text), 2*len(h))]); err != nil || n != len(h) || len(text) != 2*len(h) {
		return fmt.Errorf("%q is no hash: it has 64 hexadecimal digits", text)
	}
	return nil
}

// Act is one attempt of a step that changes something.
type Act struct {
	// Workflow and Run are the workflow ID and its first run ID.
	Workflow  string `json:"workflow"`
	Run       string `json:"run"`
	Procedure string `json:"procedure"`
	Step      string `json:"step"`
	Effect    string `json:"effect"`
	Target    string `json:"target"`
	// Nth says which time the run does this step to this target.
	Nth     int32 `json:"nth"`
	Attempt int32 `json:"attempt"`
	// Input is the SHA-256 of the input's JSON; the input itself is nowhere.
	Input       Hash   `json:"inputDigest"`
	RequestedBy string `json:"requestedBy"`
	Trigger     string `json:"trigger"`
	Worker      string `json:"worker"`
}

// Row is one row of the ledger.
type Row struct {
	Seq int64 `json:"seq"`
	// Prev is the hash of the row before.
	Prev Hash      `json:"prev"`
	Hash Hash      `json:"hash"`
	ID   uuid.UUID `json:"id"`
	At   time.Time `json:"at"`
	Act
	// Key is the effect's: the same for every attempt of it.
	Key     Hash    `json:"effectKey"`
	Outcome Outcome `json:"outcome"`
	// Kind is why it failed, as runbook.Kind.
	Kind string `json:"kind,omitempty"`
	// Changed is nil where the hand cannot tell.
	Changed    *bool `json:"changed"`
	DurationMS int64 `json:"durationMs"`
}

// textMax bounds each text of a row, in bytes.
const textMax = 500

// tidy makes the row one that the database gives back as it was.
func (r *Row) tidy() {
	for _, s := range []*string{
		&r.Workflow, &r.Run, &r.Procedure, &r.Step, &r.Effect, &r.Target, &r.Kind, &r.RequestedBy, &r.Trigger, &r.Worker,
	} {
		*s = tidy(*s)
	}
	r.At = r.At.UTC().Truncate(time.Microsecond)
}

func tidy(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "�"), "�")
	if len(s) <= textMax {
		return s
	}
	cut := textMax - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
