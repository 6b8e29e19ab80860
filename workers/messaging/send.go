package messaging

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/leanvibe/hive/workers/process"
)

var (
	agentPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	idPattern    = regexp.MustCompile(`^[!-~]{0,200}$`)
)

// problem is one wrong field of a message.
type problem struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// letter is a message on its way in.
type letter struct {
	From string          `json:"from"`
	To   string          `json:"to"`
	ID   string          `json:"-"`
	Body json.RawMessage `json:"body"`
}

const agentForm = "must be 1 to 128 of letters, digits, '.', '_', '-', beginning with a letter or digit"

// check names what is wrong with a letter; a body over its bound is errTooLarge.
func (l *letter) check() ([]problem, error) {
	if len(l.Body) > MaxBody {
		return nil, errTooLarge
	}
	var out []problem
	if !agentPattern.MatchString(l.To) {
		out = append(out, problem{"to", agentForm})
	}
	if !agentPattern.MatchString(l.From) {
		out = append(out, problem{"from", agentForm})
	}
	if !idPattern.MatchString(l.ID) {
		out = append(out, problem{"id", "must be at most 200 printable ASCII characters without blanks"})
	}
	if len(l.Body) == 0 {
		out = append(out, problem{"body", "is missing: any JSON value"})
	}
	return out, nil
}

var errTooLarge = fmt.Errorf("body is over %d bytes", MaxBody)

// put stores a checked letter and counts it.
func (h *hub) put(ctx context.Context, l *letter) (cursor string, duplicate bool, err error) {
	cursor, duplicate, err = h.inboxes.Put(ctx, l.To, Message{From: l.From, ID: l.ID, Body: l.Body})
	switch {
	case err != nil:
		h.metrics.count("refused", 1)
		if !errors.Is(err, ErrFull) {
			h.countError("redis")
		}
	case duplicate:
		h.metrics.count("duplicate", 1)
	default:
		h.metrics.stored.Inc()
	}
	return cursor, duplicate, err
}

// fail answers an error as JSON: {error:{code, message, fields}}.
func fail(w http.ResponseWriter, status int, code, message string, fields []problem) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	process.WriteJSON(w, status, map[string]any{"error": map[string]any{"code": code, "message": message, "fields": fields}})
}

// postMessage serves POST /v1/messages.
func (h *hub) postMessage(w http.ResponseWriter, r *http.Request) {
	var l letter
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxBody+4<<10))
	dec.DisallowUnknownFields()
	err := dec.Decode(&l)
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		fail(w, http.StatusRequestEntityTooLarge, "payload_too_large", errTooLarge.Error(), nil)
		return
	case err != nil:
		fail(w, http.StatusBadRequest, "invalid_argument", "not a message in JSON: "+err.Error(), nil)
		return
	}
	l.ID = r.Header.Get("Idempotency-Key")
	problems, err := l.check()
	switch {
	case err != nil:
		fail(w, http.StatusRequestEntityTooLarge, "payload_too_large", err.Error(), nil)
		return
	case problems != nil:
		fail(w, http.StatusBadRequest, "invalid_argument", "the message is not valid", problems)
		return
	}
	cursor, duplicate, err := h.put(r.Context(), &l)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, "unavailable", err.Error(), nil)
		return
	}
	code := http.StatusCreated
	if duplicate {
		code = http.StatusOK
	}
	process.WriteJSON(w, code, map[string]any{"id": l.ID, "cursor": cursor, "duplicate": duplicate})
}
