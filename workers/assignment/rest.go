package assignment

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/wire"
	"github.com/leanvibe/hive/workers/process"
)

// maxBody bounds a REST submit: a payload of 256 KiB whose every byte is escaped.
const maxBody = 2 << 20

// rest serves the same calls as plain JSON for curl; see doc.go for the errors.
type rest struct{ *service }

func (r rest) register(p *process.Process) {
	p.Handle("POST /v1/tasks", r.handler(r.postTask))
	p.Handle("GET /v1/tasks", r.handler(r.listTasks))
	p.Handle("GET /v1/tasks/{id}", r.handler(r.getTask))
	p.Handle("GET /v1/tasks/{id}/explain", r.handler(r.explainTask))
	p.Handle("POST /v1/tasks/{id}/cancel", r.handler(r.cancelTask))
	p.Handle("POST /v1/tasks/{id}/redrive", r.handler(r.redriveTask))
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

// codes are the names and status of refusals; what is not here is an internal error.
var codes = map[connect.Code]struct {
	status int
	name   string
}{
	connect.CodeInvalidArgument:    {http.StatusBadRequest, "invalid_argument"},
	connect.CodeResourceExhausted:  {http.StatusRequestEntityTooLarge, "payload_too_large"},
	connect.CodeAlreadyExists:      {http.StatusConflict, "already_exists"},
	connect.CodeFailedPrecondition: {http.StatusConflict, "failed_precondition"},
	connect.CodeNotFound:           {http.StatusNotFound, "not_found"},
	connect.CodeUnavailable:        {http.StatusServiceUnavailable, "unavailable"},
	connect.CodePermissionDenied:   {http.StatusForbidden, "permission_denied"},
	connect.CodeDataLoss:           {http.StatusInternalServerError, "data_loss"},
}

func (r rest) fail(w http.ResponseWriter, req *http.Request, err error) {
	code := codeOf(err)
	if code == connect.CodeCanceled {
		return // the client has gone
	}
	known, ok := codes[code]
	if !ok {
		known.status, known.name = http.StatusInternalServerError, "internal"
	}
	var body errorBody
	body.Error.Code, body.Error.Message = known.name, err.Error()
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		body.Error.Fields = invalid.Fields
	}
	if code == connect.CodeUnavailable {
		w.Header().Set("Retry-After", seconds(wire.RetryAfter(err)))
	}
	if known.status >= http.StatusInternalServerError {
		r.log.Error("request failed", "path", req.URL.Path, "status", known.status, "error", err)
	}
	process.WriteJSON(w, known.status, body)
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
	w.Header().Set("Location", "/v1/tasks/"+task.ID.String())
	return code, map[string]any{"task": taskOf(&task), "duplicate": duplicate}, nil
}

func decodeDraft(w http.ResponseWriter, req *http.Request) (*hivev1.Draft, error) {
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
		return nil, invalid(wrongType.Field, "must be %s, is %s", wrongType.Type, wrongType.Value)
	case err != nil:
		return nil, invalid("body", "is not a task in JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
	case b.Payload != "" && len(b.PayloadBase64) > 0:
		return nil, invalid("payload_base64", "must not stand beside payload")
	case b.Priority < 0:
		return nil, invalid("priority", "must be 0 to %d", maxPriority)
	case b.MaxAttempts < 0:
		return nil, invalid("max_attempts", "must be 1 to %d, or 0 for %d", maxAttempts, defaultAttempts)
	}
	d := &hivev1.Draft{
		IdempotencyKey: req.Header.Get("Idempotency-Key"), Queue: b.Queue, Handler: b.Handler,
		Capabilities: b.Capabilities, Priority: uint32(b.Priority), MaxAttempts: uint32(b.MaxAttempts), Payload: b.PayloadBase64,
	}
	if b.Payload != "" {
		d.Payload = []byte(b.Payload)
	}
	if b.Deadline != nil {
		d.Deadline = timestamppb.New(*b.Deadline)
	}
	return d, nil
}

func (r rest) getTask(_ http.ResponseWriter, req *http.Request) (int, any, error) {
	return oneTask(r.get(req.Context(), req.PathValue("id")))
}

func (r rest) cancelTask(_ http.ResponseWriter, req *http.Request) (int, any, error) {
	return oneTask(r.cancel(req.Context(), req.PathValue("id")))
}

func (r rest) redriveTask(_ http.ResponseWriter, req *http.Request) (int, any, error) {
	return oneTask(r.redrive(req.Context(), req.PathValue("id")))
}

func oneTask(task partition.Task, err error) (int, any, error) {
	return http.StatusOK, map[string]any{"task": taskOf(&task)}, err
}

func (r rest) explainTask(_ http.ResponseWriter, req *http.Request) (int, any, error) {
	text, phase, err := r.explain(req.Context(), req.PathValue("id"))
	return http.StatusOK, map[string]any{"text": text, "state": phase.String()}, err
}

// listTasks answers a page: ?queue=&state=&limit=&cursor=.
func (r rest) listTasks(_ http.ResponseWriter, req *http.Request) (int, any, error) {
	query := req.URL.Query()
	in := page{queue: query.Get("queue"), cursor: query.Get("cursor")}
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, nil, invalid("limit", "must be 1 to %d, for example 100", maxPage)
		}
		in.limit = n
	}
	if name := query.Get("state"); name != "" {
		if in.phase = phaseOf(name); in.phase == 0 {
			return 0, nil, invalid("state", "must be waiting, running, completed, dead or cancelled")
		}
	}
	tasks, next, err := r.list(req.Context(), in)
	out := make([]taskJSON, len(tasks))
	for i := range tasks {
		out[i] = taskOf(&tasks[i])
	}
	return http.StatusOK, map[string]any{"tasks": out, "next": next}, err
}

func phaseOf(name string) partition.Phase {
	for p := partition.Waiting; p <= partition.Cancelled; p++ {
		if p.String() == name {
			return p
		}
	}
	return 0
}

// waitTask answers 200 also when the time is over: finished says which it was.
func (r rest) waitTask(_ http.ResponseWriter, req *http.Request) (int, any, error) {
	timeout := 5 * time.Second
	if v := req.URL.Query().Get("timeout"); v != "" {
		var err error
		if timeout, err = time.ParseDuration(v); err != nil || timeout <= 0 || timeout > maxWait {
			return 0, nil, invalid("timeout", "must be a duration up to %s, for example 5s", maxWait)
		}
	}
	task, err := r.wait(req.Context(), req.PathValue("id"), timeout)
	return http.StatusOK, map[string]any{"task": taskOf(&task), "finished": task.Phase.Finished()}, err
}

func (r rest) getAgents(_ http.ResponseWriter, req *http.Request) (int, any, error) {
	agents, err := r.agents(req.Context())
	list := make([]agentJSON, len(agents))
	for i, a := range agents {
		list[i] = agentJSON{a.ID, a.Capabilities, a.Capacity, a.Running, a.Home, time.UnixMicro(a.Seen).UTC(), a.Labels}
	}
	return http.StatusOK, map[string]any{"agents": list}, err
}

// getStats answers the counters of ?queue=, or their sum and every queue's.
func (r rest) getStats(_ http.ResponseWriter, req *http.Request) (int, any, error) {
	queue := req.URL.Query().Get("queue")
	total, queues, err := r.stats(req.Context(), queue)
	if err != nil || queue != "" {
		return http.StatusOK, statsJSON(total), err
	}
	all := make([]statsJSON, len(queues))
	for i, q := range queues {
		all[i] = statsJSON(q)
	}
	return http.StatusOK, struct {
		statsJSON
		Queues []statsJSON `json:"queues"`
	}{statsJSON(total), all}, nil
}
