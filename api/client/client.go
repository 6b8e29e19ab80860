// Package client is the Go client of the universal-orchestrator: Client submits
// and reads tasks, Agent executes them. Both survive the roll of a replica: they
// repeat what was refused or lost, which is safe because every call carries an
// idempotency key or names its execution.
package client

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

// callMax bounds one try of one call, beside what the call itself waits for.
const callMax = 10 * time.Second

// Client calls the orchestrator through its proxy.
type Client struct {
	rpc hivev1connect.AssignmentServiceClient
	// streams is the same service as gRPC over HTTP/2 at streamURL, for Submitter and Fleet.
	streams   hivev1connect.AssignmentServiceClient
	streamURL string
	// streamsAt answers it at another base URL.
	streamsAt func(baseURL string) hivev1connect.AssignmentServiceClient
}

// Option changes how a client calls.
type Option func(*settings)

// settings are what options change.
type settings struct {
	keyed
	streams   *http.Client
	streamURL string
}

// WithToken sends the token with every call, as docs/access.md describes: a client
// needs one of role client, an agent one of role agent. Empty sends none.
func WithToken(token string) Option { return func(s *settings) { s.token = token } }

// New calls the service at a base URL such as http://nginx. A nil HTTP client
// takes NewTransport's. Submitter and Fleet need HTTP/2: they use WithStreams' or
// their own, never this one.
func New(baseURL string, httpClient *http.Client, options ...Option) *Client {
	if httpClient == nil {
		httpClient = &http.Client{Transport: NewTransport()}
	}
	var set settings
	for _, change := range options {
		change(&set)
	}
	if set.streamURL == "" {
		set.streamURL = baseURL
	}
	if set.streams == nil {
		set.streams = &http.Client{Transport: NewStreamTransport()}
	}
	keys := connect.WithInterceptors(set.keyed)
	streamsAt := func(baseURL string) hivev1connect.AssignmentServiceClient {
		return hivev1connect.NewAssignmentServiceClient(set.streams, baseURL, append(streamOptions(), keys)...)
	}
	return &Client{
		rpc:     hivev1connect.NewAssignmentServiceClient(httpClient, baseURL, plain(), keys),
		streams: streamsAt(set.streamURL), streamURL: strings.TrimSuffix(set.streamURL, "/"), streamsAt: streamsAt,
	}
}

// NewTransport keeps connections for less time than the proxy does, so that the
// proxy never closes one that a request is just being written to.
func NewTransport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second,
		// The proxy answers the first frame of a stream at once; a long poll lasts 30 s.
		ResponseHeaderTimeout: 45 * time.Second,
	}
}

// Submitted is an answered submit.
type Submitted struct {
	Task *hivev1.Task
	// Duplicate: the key was submitted before with the same body; possibly by a
	// try of this very call whose answer was lost.
	Duplicate bool
}

// Submit stores a task, repeating the call until it is answered or ctx ends. A
// draft without an idempotency key gets one, since the call may be repeated.
func (c *Client) Submit(ctx context.Context, d *hivev1.Draft) (Submitted, error) {
	if d.GetIdempotencyKey() == "" {
		d.IdempotencyKey = uuid.NewString()
	}
	r, err := call(ctx, c.rpc.Submit, &hivev1.SubmitRequest{Draft: d})
	if err != nil {
		return Submitted{}, err
	}
	return Submitted{Task: r.GetTask(), Duplicate: r.GetDuplicate()}, nil
}

// SubmitBatch stores up to 500 tasks; outcomes are in order, each its own.
func (c *Client) SubmitBatch(ctx context.Context, drafts []*hivev1.Draft) ([]*hivev1.SubmitOutcome, error) {
	for _, d := range drafts {
		if d.GetIdempotencyKey() == "" {
			d.IdempotencyKey = uuid.NewString()
		}
	}
	r, err := call(ctx, c.rpc.SubmitBatch, &hivev1.SubmitBatchRequest{Drafts: drafts})
	return r.GetOutcomes(), err
}

// Get answers a task.
func (c *Client) Get(ctx context.Context, id string) (*hivev1.Task, error) {
	r, err := call(ctx, c.rpc.GetTask, &hivev1.GetTaskRequest{Id: id})
	return r.GetTask(), err
}

// Finished tells whether a task has reached its end.
func Finished(t *hivev1.Task) bool {
	switch t.GetState() {
	case hivev1.TaskState_TASK_STATE_COMPLETED, hivev1.TaskState_TASK_STATE_DEAD, hivev1.TaskState_TASK_STATE_CANCELLED:
		return true
	}
	return false
}

// Wait answers the task when it has finished, or ctx's error.
func (c *Client) Wait(ctx context.Context, id string) (*hivev1.Task, error) {
	for {
		r, err := call(ctx, c.rpc.GetTask, &hivev1.GetTaskRequest{Id: id, Wait: durationpb.New(callMax / 2)})
		if err != nil || Finished(r.GetTask()) {
			return r.GetTask(), err
		}
	}
}

// Stats answers the counters of one queue, or the sum of all and each.
func (c *Client) Stats(ctx context.Context, queue string) (*hivev1.StatsResponse, error) {
	return call(ctx, c.rpc.Stats, &hivev1.StatsRequest{Queue: queue})
}

// Agents answers the agents seen lately.
func (c *Client) Agents(ctx context.Context) ([]*hivev1.Agent, error) {
	r, err := call(ctx, c.rpc.ListAgents, &hivev1.ListAgentsRequest{})
	return r.GetAgents(), err
}

// keyed gives every request an Idempotency-Key: it allows the proxy to repeat
// the request at another replica. All calls of the service bear repeating. It also
// sends the token.
type keyed struct{ token string }

func (k keyed) authorize(h http.Header) {
	if k.token != "" {
		h.Set("Authorization", "Bearer "+k.token)
	}
}

// WrapUnary sets the key on calls.
func (k keyed) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		k.authorize(req.Header())
		if submit, ok := req.Any().(*hivev1.SubmitRequest); ok {
			req.Header().Set("Idempotency-Key", submit.GetDraft().GetIdempotencyKey())
		} else if req.Header().Get("Idempotency-Key") == "" {
			req.Header().Set("Idempotency-Key", uuid.NewString())
		}
		return next(ctx, req)
	}
}

// WrapStreamingClient sets the key on streams.
func (k keyed) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		k.authorize(conn.RequestHeader())
		conn.RequestHeader().Set("Idempotency-Key", uuid.NewString())
		return conn
	}
}

// WrapStreamingHandler is for servers; here it changes nothing.
func (keyed) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
