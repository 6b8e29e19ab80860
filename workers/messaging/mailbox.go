package messaging

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/leanvibe/hive/api/frame"
	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workers/process/access"
)

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
