package assignment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leanvibe/hive/workers/process"
)

// maxBody bounds a REST submit: a payload of 256 KiB whose every byte is escaped.
const maxBody = 2 << 20

// rest serves the same calls as plain JSON for curl; see doc.go for the errors.
type rest struct{ *service }

func (r rest) register(p *process.Process) {
	p.Handle("POST /v1/tasks", r.handler(r.postTask))
	p.Handle("GET /v1/tasks/{id}", r.handler(r.getTask))
	p.Handle("GET /v1/tasks/{id}/wait", r.handler(r.waitTask))
	p.Handle("GET /v1/agents", r.handler(r.getAgents))
	p.Handle("GET /v1/stats", r.handler(r.getStats))
}

// handler answers what the call returns, or its error.
func (r rest) handler(call func(http.ResponseWriter, *http.Request) (int, any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		code, body, err := call(w, req)
		if err != nil {
			r.fail(w, req, err)
			return
		}
		process.WriteJSON(w, code, body)
	})
}

// errorBody is the body of every answer that is not 2xx.
type errorBody struct {
	Error struct {
		Code    string         `json:"code"`
		Message string         `json:"message"`
		Fields  []FieldProblem `json:"fields,omitempty"`
	} `json:"error"`
}

func (r rest) fail(w http.ResponseWriter, req *http.Request, err error) {
	var body errorBody
	code := http.StatusInternalServerError
	body.Error.Code, body.Error.Message = "internal", err.Error()
	var invalid *InvalidError
	var large *TooLargeError
	var conflict *ConflictError
	var busy *BusyError
	switch {
	case errors.As(err, &invalid):
		code, body.Error.Code, body.Error.Fields = http.StatusBadRequest, "invalid_argument", invalid.Fields
	case errors.As(err, &large):
		code, body.Error.Code = http.StatusRequestEntityTooLarge, "payload_too_large"
	case errors.As(err, &conflict):
		code, body.Error.Code = http.StatusConflict, "already_exists"
	case errors.Is(err, ErrNotFound):
		code, body.Error.Code = http.StatusNotFound, "not_found"
	case errors.As(err, &busy):
		code, body.Error.Code = http.StatusServiceUnavailable, "unavailable"
		w.Header().Set("Retry-After", seconds(busy.RetryAfter))
	case errors.Is(err, context.Canceled):
		return // the client has gone
	}
	if code >= http.StatusInternalServerError {
		r.log.Error("request failed", "path", req.URL.Path, "status", code, "error", err)
	}
	process.WriteJSON(w, code, body)
}

// taskBody is what POST /v1/tasks takes. The idempotency key is the header
// Idempotency-Key.
type taskBody struct {
	Queue         string     `json:"queue"`
	Handler       string     `json:"handler"`
	Capabilities  []string   `json:"capabilities"`
	Priority      int        `json:"priority"`
	Deadline      *time.Time `json:"deadline"`
	MaxAttempts   int        `json:"max_attempts"`
	Payload       string     `json:"payload"`
	PayloadBase64 []byte     `json:"payload_base64"`
}

func (r rest) postTask(w http.ResponseWriter, req *http.Request) (int, any, error) {
	d, err := decodeDraft(w, req)
	if err != nil {
		return 0, nil, err
	}
	task, duplicate, err := r.submit(req.Context(), d)
	if err != nil {
		return 0, nil, err
	}
	code := http.StatusCreated
	if duplicate {
		code = http.StatusOK
	}
	w.Header().Set("Location", "/v1/tasks/"+task.ID)
	return code, map[string]any{"task": task.json(), "duplicate": duplicate}, nil
}

func decodeDraft(w http.ResponseWriter, req *http.Request) (*Draft, error) {
	dec := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxBody))
	dec.DisallowUnknownFields()
	var b taskBody
	err := dec.Decode(&b)
	if err == nil && dec.More() {
		err = errors.New("more follows the JSON object")
	}
	var tooLong *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &tooLong):
		return nil, &TooLargeError{What: "body", Max: maxBody}
	case errors.As(err, &wrongType):
		return nil, &InvalidError{Fields: []FieldProblem{{wrongType.Field, fmt.Sprintf("must be %s, is %s", wrongType.Type, wrongType.Value)}}}
	case err != nil:
		return nil, &InvalidError{Fields: []FieldProblem{{"body", "is not a task in JSON: " + strings.TrimPrefix(err.Error(), "json: ")}}}
	case b.Payload != "" && len(b.PayloadBase64) > 0:
		return nil, &InvalidError{Fields: []FieldProblem{{"payload_base64", "must not stand beside payload"}}}
	}
	d := &Draft{
		IdempotencyKey: req.Header.Get("Idempotency-Key"), Queue: b.Queue, Handler: b.Handler,
		Capabilities: b.Capabilities, Priority: b.Priority, MaxAttempts: b.MaxAttempts, Payload: b.PayloadBase64,
	}
	if b.Payload != "" {
		d.Payload = []byte(b.Payload)
	}
	if b.Deadline != nil {
		d.Deadline = *b.Deadline
	}
	return d, nil
}

func (r rest) getTask(_ http.ResponseWriter, req *http.Request) (int, any, error) {
	task, err := r.get(req.Context(), req.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"task": task.json()}, nil
}

// waitTask answers 200 also when the time is over: finished says which it was.
func (r rest) waitTask(_ http.ResponseWriter, req *http.Request) (int, any, error) {
	timeout := 5 * time.Second
	if v := req.URL.Query().Get("timeout"); v != "" {
		var err error
		if timeout, err = time.ParseDuration(v); err != nil || timeout <= 0 || timeout > maxWait {
			return 0, nil, &InvalidError{Fields: []FieldProblem{{"timeout", fmt.Sprintf("must be a duration up to %s, for example 5s", maxWait)}}}
		}
	}
	task, err := r.wait(req.Context(), req.PathValue("id"), timeout)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"task": task.json(), "finished": task.State.Finished()}, nil
}

func (r rest) getAgents(_ http.ResponseWriter, req *http.Request) (int, any, error) {
	agents, err := r.machine.Agents(req.Context())
	list := make([]agentJSON, len(agents))
	for i, a := range agents {
		list[i] = agentJSON(a)
	}
	return http.StatusOK, map[string]any{"agents": list}, err
}

// getStats answers the counters of ?queue=, or their sum and every queue's.
func (r rest) getStats(_ http.ResponseWriter, req *http.Request) (int, any, error) {
	queue := req.URL.Query().Get("queue")
	total, queues, err := r.stats(req.Context(), queue)
	if err != nil || queue != "" {
		return http.StatusOK, total, err
	}
	slices.SortFunc(queues, func(a, b Stats) int { return strings.Compare(a.Queue, b.Queue) })
	return http.StatusOK, struct {
		Stats
		Queues []Stats `json:"queues"`
	}{total, queues}, nil
}

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
	State          State      `json:"state"`
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

func (t *Task) json() taskJSON {
	j := taskJSON{
		ID: t.ID, IdempotencyKey: t.IdempotencyKey, Queue: t.Queue, Handler: t.Handler, Capabilities: t.Capabilities,
		Priority: t.Priority, Deadline: orNull(t.Deadline), MaxAttempts: t.MaxAttempts, State: t.State,
		Attempt: t.Attempt, Failures: t.Failures, Agent: t.Agent, SubmittedAt: orNull(t.SubmittedAt),
		StartedAt: orNull(t.StartedAt), FinishedAt: orNull(t.FinishedAt), Error: t.Error,
	}
	j.Payload, j.PayloadBase64 = textOrBytes(t.Payload)
	j.Result, j.ResultBase64 = textOrBytes(t.Result)
	return j
}

func textOrBytes(b []byte) (string, []byte) {
	if utf8.Valid(b) {
		return string(b), nil
	}
	return "", b
}
