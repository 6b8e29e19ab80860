package messaging

import (
	"errors"
	"net/http"

	"github.com/leanvibe/hive/workers/process"
)

// Codes of errors; doc.go has the table.
const (
	codeInvalid     = "invalid_argument"
	codeMalformed   = "malformed_frame"
	codeAddress     = "invalid_address"
	codeConflict    = "id_conflict"
	codeAhead       = "cursor_ahead"
	codeTooLarge    = "payload_too_large"
	codeTooMany     = "too_many_topics"
	codeFull        = "inbox_full"
	codeGap         = "out_of_sequence"
	codeBusy        = "overloaded"
	codeUnavailable = "unavailable"
	codeDenied      = "permission_denied"
)

func codeOf(err error) string {
	switch {
	case errors.Is(err, ErrFull):
		return codeFull
	case errors.Is(err, ErrGap):
		return codeGap
	case errors.Is(err, ErrConflict):
		return codeConflict
	case errors.Is(err, ErrAhead):
		return codeAhead
	case errors.Is(err, ErrBusy):
		return codeBusy
	default:
		return codeUnavailable
	}
}

// problem is one wrong field of a message.
type problem struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// codeFor tells a wrong address from the rest: it is what people mistype.
func codeFor(problems []problem) string {
	switch problems[0].Field {
	case "to", "of", "agent", "topic":
		return codeAddress
	}
	return codeInvalid
}

// fail answers an error as JSON: {error:{code, message, fields}}.
func fail(w http.ResponseWriter, status int, code, message string, fields []problem) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	process.WriteJSON(w, status, map[string]any{"error": map[string]any{"code": code, "message": message, "fields": fields}})
}

// unavailable answers what Redis could not, or a cursor that it does not know.
func (h *hub) unavailable(w http.ResponseWriter, err error) {
	if errors.Is(err, ErrAhead) {
		fail(w, http.StatusConflict, codeAhead, err.Error(), []problem{{"cursor", "is behind the mailbox's end"}})
		return
	}
	h.countError("redis")
	fail(w, http.StatusServiceUnavailable, codeUnavailable, err.Error(), nil)
}
