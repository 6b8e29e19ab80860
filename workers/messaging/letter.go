package messaging

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/leanvibe/hive/api/frame"
)

// letter is a message on its way in.
type letter struct {
	From string          `json:"from"`
	To   string          `json:"to"`
	ID   string          `json:"-"`
	Body json.RawMessage `json:"body"`
}

// check names what is wrong with a letter; a body over its bound is errTooLarge.
func (l *letter) check() ([]problem, error) {
	if len(l.Body) > MaxBody {
		return nil, errTooLarge
	}
	var out []problem
	if !validAddress(l.To) {
		out = append(out, problem{"to", addressForm})
	}
	if !frame.ValidAgent(l.From) {
		out = append(out, problem{"from", agentForm})
	}
	if !frame.ValidID(l.ID) {
		out = append(out, problem{"id", idForm})
	}
	if len(l.Body) == 0 {
		out = append(out, problem{"body", "is missing: any JSON value"})
	}
	return out, nil
}

var errTooLarge = fmt.Errorf("body is over %d bytes", MaxBody)

// chunk is the letter as it is stored. One without an id gets one that nobody
// sees, so that the hub's own second try is known as such.
func (l *letter) chunk() *chunk {
	identity := "id:" + l.ID
	if l.ID == "" {
		identity = "hub:" + uuid.NewString()
	}
	return &chunk{to: l.To, from: l.From, id: identity, count: 1, messages: frame.AppendMessage(nil, l.ID, l.Body), taken: time.Now()}
}
