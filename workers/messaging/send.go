package messaging

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/leanvibe/hive/api/frame"
	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workers/process/access"
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
	if !agentPattern.MatchString(l.From) {
		out = append(out, problem{"from", agentForm})
	}
	if !idPattern.MatchString(l.ID) {
		out = append(out, problem{"id", idForm})
	}
	if len(l.Body) == 0 {
		out = append(out, problem{"body", "is missing: any JSON value"})
	}
	return out, nil
}

// codeFor tells a wrong address from the rest: it is what people mistype.
func codeFor(problems []problem) string {
	switch problems[0].Field {
	case "to", "of", "agent", "topic":
		return codeAddress
	}
	return codeInvalid
}

var errTooLarge = fmt.Errorf("body is over %d bytes", MaxBody)

// chunk is the letter as it is stored. One without an id gets one that nobody
// sees, so that the hub's own second try is known as such.
func (l *letter) chunk() *chunk {
	identity := "id:" + l.ID
	if l.ID == "" {
		identity = "hub:" + uuid.NewString()
	}
	return &chunk{to: l.To, from: l.From, id: identity, count: 1, messages: frame.AppendMessage(nil, l.ID, l.Body)}
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
		fail(w, http.StatusRequestEntityTooLarge, codeTooLarge, errTooLarge.Error(), nil)
		return
	case err != nil:
		fail(w, http.StatusBadRequest, codeMalformed, "not a message in JSON: "+err.Error(), nil)
		return
	}
	l.ID = r.Header.Get("Idempotency-Key")
	problems, err := l.check()
	switch {
	case err != nil:
		fail(w, http.StatusRequestEntityTooLarge, codeTooLarge, err.Error(), nil)
		return
	case problems != nil:
		fail(w, http.StatusBadRequest, codeFor(problems), "the message is not valid", problems)
		return
	}
	if err := access.Own(r.Context(), l.From); err != nil {
		fail(w, http.StatusForbidden, codeDenied, err.Error(), nil)
		return
	}
	o := h.put(r.Context(), l.chunk())
	if o.err != nil {
		status := http.StatusServiceUnavailable
		if errors.Is(o.err, ErrConflict) {
			status = http.StatusConflict
		}
		fail(w, status, codeOf(o.err), o.err.Error(), nil)
		return
	}
	code := http.StatusCreated
	if o.duplicate {
		code = http.StatusOK
	}
	process.WriteJSON(w, code, map[string]any{"id": l.ID, "cursor": o.cursor.String(), "duplicate": o.duplicate})
}

// put stores a chunk and waits for it.
func (h *hub) put(ctx context.Context, ch *chunk) outcome {
	stored := make(chan outcome, 1)
	ch.done = func(o outcome) {
		h.tally(ch, o)
		stored <- o
	}
	h.commits.put(ch)
	select {
	case o := <-stored:
		return o
	case <-ctx.Done():
		return outcome{err: errors.Join(ErrAway, ctx.Err())}
	}
}

// pageMost bounds a page of GET /v1/messages.
const pageMost = 1000

// getMessages serves GET /v1/messages?of=ADDRESS[&cursor=C][&limit=N].
func (h *hub) getMessages(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	of, after, problems := mailbox(q.Get("of"), q.Get("cursor"))
	limit, err := strconv.Atoi(q.Get("limit"))
	if q.Get("limit") == "" {
		limit, err = 100, nil
	}
	if err != nil || limit < 1 || limit > pageMost {
		problems = append(problems, problem{"limit", fmt.Sprintf("must be 1 to %d", pageMost)})
	}
	if problems != nil {
		fail(w, http.StatusBadRequest, codeFor(problems), "the request is not valid", problems)
		return
	}
	if after, err = h.store.from(r.Context(), of, after); err != nil {
		h.unavailable(w, err)
		return
	}
	messages, err := h.page(r.Context(), of, after, limit)
	if err != nil {
		h.unavailable(w, err)
		return
	}
	next := after.String()
	if len(messages) > 0 {
		next = messages[len(messages)-1].Cursor
	}
	process.WriteJSON(w, http.StatusOK, map[string]any{"messages": messages, "cursor": next})
}

// page reads at most limit messages.
func (h *hub) page(ctx context.Context, of string, after frame.Cursor, limit int) ([]*frame.Frame, error) {
	messages := []*frame.Frame{}
	for len(messages) < limit {
		found, errs := h.store.fetch(ctx, []position{{of, after}})
		if errs[0] != nil {
			return nil, errs[0]
		}
		for _, e := range found[0] {
			frames, err := deliveries(&outgoing{entry: e, address: of, after: after})
			if err != nil {
				return nil, err
			}
			messages = append(messages, frames...)
			after = e.cursor
		}
		if len(found[0]) < fetchEntries {
			break
		}
	}
	return messages[:min(limit, len(messages))], nil
}

// postAck serves POST /v1/messages/ack {of, cursor}: an inbox's messages up to the cursor are done.
func (h *hub) postAck(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Of     string `json:"of"`
		Cursor string `json:"cursor"`
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		fail(w, http.StatusBadRequest, codeMalformed, "not an acknowledgement in JSON: "+err.Error(), nil)
		return
	}
	of, cursor, problems := mailbox(in.Of, in.Cursor)
	if isTopic(of) {
		problems = append(problems, problem{"of", "must be an agent: a topic remembers its readers' cursors over the WebSocket only"})
	}
	if in.Cursor == "" {
		problems = append(problems, problem{"cursor", cursorForm})
	}
	if problems != nil {
		fail(w, http.StatusBadRequest, codeFor(problems), "the acknowledgement is not valid", problems)
		return
	}
	if err := access.Own(r.Context(), of); err != nil {
		fail(w, http.StatusForbidden, codeDenied, err.Error(), nil)
		return
	}
	n, err := h.store.ack(r.Context(), of, cursor)
	if err != nil {
		h.unavailable(w, err)
		return
	}
	h.metrics.count("acknowledged", n)
	process.WriteJSON(w, http.StatusOK, map[string]any{"acknowledged": n})
}

// mailbox reads an address and a cursor, which may be empty.
func mailbox(of, cursor string) (string, frame.Cursor, []problem) {
	var problems []problem
	if !validAddress(of) {
		problems = append(problems, problem{"of", addressForm})
	}
	var c frame.Cursor
	if cursor != "" {
		var err error
		if c, err = frame.ParseCursor(cursor); err != nil {
			problems = append(problems, problem{"cursor", cursorForm})
		}
	}
	return of, c, problems
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

// tally counts what became of a chunk.
func (h *hub) tally(ch *chunk, o outcome) {
	switch n := int(ch.count); {
	case o.err != nil:
		h.metrics.count("refused", n)
	case o.duplicate:
		h.metrics.count("duplicate", n)
	default:
		h.metrics.stored.Add(float64(n))
		h.metrics.commit.Observe(float64(time.Since(ch.taken).Microseconds()) / 1000)
	}
}
