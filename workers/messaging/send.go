package messaging

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workers/process/access"
)

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
	ch.done = func(ch *chunk, o outcome) {
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
