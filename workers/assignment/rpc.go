package assignment

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/process/access"
)

// rpc serves hive.v1.AssignmentService.
type rpc struct{ *service }

// rpcError gives a condition its Connect code; the texts are those of REST.
func rpcError(err error) error {
	var invalid *InvalidError
	var large *TooLargeError
	var conflict *ConflictError
	var busy *BusyError
	var notOwn *access.NotOwnError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &notOwn):
		return connect.NewError(connect.CodePermissionDenied, err)
	case errors.As(err, &invalid):
		return connect.NewError(connect.CodeInvalidArgument, err)
	case errors.As(err, &large):
		return connect.NewError(connect.CodeResourceExhausted, err)
	case errors.As(err, &conflict):
		return connect.NewError(connect.CodeAlreadyExists, err)
	case errors.Is(err, ErrNotFound):
		return connect.NewError(connect.CodeNotFound, err)
	case errors.As(err, &busy):
		e := connect.NewError(connect.CodeUnavailable, err)
		e.Meta().Set("Retry-After", seconds(busy.RetryAfter))
		return e
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, err)
	default:
		return connect.NewError(connect.CodeInternal, err)
	}
}

// seconds writes a Retry-After of at least one second.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}

// answer wraps a message or turns the error into its code.
func answer[T any](msg *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, rpcError(err)
	}
	return connect.NewResponse(msg), nil
}

// Submit stores one task.
func (r rpc) Submit(ctx context.Context, req *connect.Request[hivev1.SubmitRequest]) (*connect.Response[hivev1.SubmitResponse], error) {
	task, duplicate, err := r.submit(ctx, draftOf(req.Msg.GetDraft()))
	if err != nil {
		return nil, rpcError(err)
	}
	return answer(&hivev1.SubmitResponse{Task: task.proto(), Duplicate: duplicate}, nil)
}

// SubmitBatch stores many tasks.
func (r rpc) SubmitBatch(ctx context.Context, req *connect.Request[hivev1.SubmitBatchRequest]) (*connect.Response[hivev1.SubmitBatchResponse], error) {
	drafts := make([]*Draft, len(req.Msg.GetDrafts()))
	for i, d := range req.Msg.GetDrafts() {
		drafts[i] = draftOf(d)
	}
	results, err := r.submitBatch(ctx, drafts)
	out := &hivev1.SubmitBatchResponse{Outcomes: make([]*hivev1.SubmitOutcome, len(results))}
	for i, res := range results {
		o := &hivev1.SubmitOutcome{TaskId: res.TaskID, Duplicate: res.Duplicate}
		if res.Err != nil {
			o.Refused = connect.CodeOf(rpcError(res.Err)).String()
			o.Reason = res.Err.Error()
		}
		out.Outcomes[i] = o
	}
	return answer(out, err)
}

// GetTask answers one task, now or when it has finished.
func (r rpc) GetTask(ctx context.Context, req *connect.Request[hivev1.GetTaskRequest]) (*connect.Response[hivev1.GetTaskResponse], error) {
	var task *Task
	var err error
	if wait := req.Msg.GetWait().AsDuration(); wait > 0 {
		task, err = r.wait(ctx, req.Msg.GetId(), wait)
	} else {
		task, err = r.get(ctx, req.Msg.GetId())
	}
	if err != nil {
		return nil, rpcError(err)
	}
	return answer(&hivev1.GetTaskResponse{Task: task.proto()}, nil)
}

// Attach serves an agent's stream.
func (r rpc) Attach(ctx context.Context, req *connect.Request[hivev1.AttachRequest], stream *connect.ServerStream[hivev1.AttachResponse]) error {
	a := &Attachment{
		Agent: req.Msg.GetAgentId(), Capabilities: req.Msg.GetCapabilities(), Capacity: int(req.Msg.GetCapacity()),
		Labels: req.Msg.GetLabels(), Held: executionsOf(req.Msg.GetHeld()),
	}
	if err := errors.Join(access.Own(ctx, a.Agent), a.Validate()); err != nil {
		return rpcError(err)
	}
	sink := streamSink{stream: stream, lease: r.machine.lease, conn: connOf(ctx)}
	defer sink.unbound()
	err := r.dispatcher.attach(ctx, a, sink)
	if errors.Is(err, context.Canceled) {
		return nil // the agent hung up: nobody is left to hear of it
	}
	return rpcError(err)
}

// Detach asks for a stream's orderly end.
func (r rpc) Detach(ctx context.Context, req *connect.Request[hivev1.DetachRequest]) (*connect.Response[hivev1.DetachResponse], error) {
	if err := access.Own(ctx, req.Msg.GetAgentId()); err != nil {
		return nil, rpcError(err)
	}
	return answer(&hivev1.DetachResponse{}, r.machine.Detach(ctx, req.Msg.GetAgentId(), req.Msg.GetSession()))
}

// Heartbeat renews leases.
func (r rpc) Heartbeat(ctx context.Context, req *connect.Request[hivev1.HeartbeatRequest]) (*connect.Response[hivev1.HeartbeatResponse], error) {
	if err := access.Own(ctx, req.Msg.GetAgentId()); err != nil {
		return nil, rpcError(err)
	}
	lost, err := r.heartbeat(ctx, req.Msg.GetAgentId(), executionsOf(req.Msg.GetHeld()))
	return answer(&hivev1.HeartbeatResponse{Lost: protoExecutions(lost)}, err)
}

// Complete ends one execution.
func (r rpc) Complete(ctx context.Context, req *connect.Request[hivev1.CompleteRequest]) (*connect.Response[hivev1.CompleteResponse], error) {
	if err := access.Own(ctx, req.Msg.GetAgentId()); err != nil {
		return nil, rpcError(err)
	}
	v, err := r.complete(ctx, Report{
		Agent: req.Msg.GetAgentId(), Execution: executionOf(req.Msg.GetExecution()),
		Result: req.Msg.GetResult(), Error: req.Msg.GetError(), Final: req.Msg.GetFinal(),
	})
	return answer(&hivev1.CompleteResponse{
		Accepted: v.Accepted, Duplicate: v.Duplicate, Reason: v.Reason, State: protoStates[v.State],
	}, err)
}

// Release gives executions back.
func (r rpc) Release(ctx context.Context, req *connect.Request[hivev1.ReleaseRequest]) (*connect.Response[hivev1.ReleaseResponse], error) {
	if err := access.Own(ctx, req.Msg.GetAgentId()); err != nil {
		return nil, rpcError(err)
	}
	n, err := r.release(ctx, req.Msg.GetAgentId(), executionsOf(req.Msg.GetExecutions()))
	return answer(&hivev1.ReleaseResponse{Released: uint32(n)}, err)
}

// ListAgents answers who was seen lately.
func (r rpc) ListAgents(ctx context.Context, _ *connect.Request[hivev1.ListAgentsRequest]) (*connect.Response[hivev1.ListAgentsResponse], error) {
	agents, err := r.machine.Agents(ctx)
	out := &hivev1.ListAgentsResponse{}
	for _, a := range agents {
		out.Agents = append(out.Agents, a.proto())
	}
	return answer(out, err)
}

// Stats answers the counters.
func (r rpc) Stats(ctx context.Context, req *connect.Request[hivev1.StatsRequest]) (*connect.Response[hivev1.StatsResponse], error) {
	total, queues, err := r.stats(ctx, req.Msg.GetQueue())
	slices.SortFunc(queues, func(a, b Stats) int { return strings.Compare(a.Queue, b.Queue) })
	out := &hivev1.StatsResponse{Total: total.proto()}
	for _, q := range queues {
		out.Queues = append(out.Queues, q.proto())
	}
	return answer(out, err)
}

// sendMax bounds the sending of one frame: an agent that reads nothing for that
// long has gone.
const sendMax = 10 * time.Second

// streamSink sends an agent's frames.
type streamSink struct {
	stream *connect.ServerStream[hivev1.AttachResponse]
	lease  time.Duration
	conn   *http.ResponseController
}

func (s streamSink) send(m *hivev1.AttachResponse) error {
	if s.conn != nil {
		if err := s.conn.SetWriteDeadline(time.Now().Add(sendMax)); err != nil {
			return err
		}
	}
	return s.stream.Send(m)
}

// unbound lifts the write bound: the proxy may use the connection again.
func (s streamSink) unbound() {
	if s.conn != nil {
		_ = s.conn.SetWriteDeadline(time.Time{})
	}
}

func (s streamSink) Attached(session string, lost []Execution) error {
	return s.send(attachedFrame(session, s.lease, lost))
}

func (s streamSink) Assign(a Assignment) error { return s.send(a.proto()) }

func (s streamSink) KeepAlive() error {
	return s.send(&hivev1.AttachResponse{Event: &hivev1.AttachResponse_KeepAlive{KeepAlive: &hivev1.KeepAlive{}}})
}

func (s streamSink) Goodbye(end End) error {
	return s.send(&hivev1.AttachResponse{Event: &hivev1.AttachResponse_Goodbye{
		Goodbye: &hivev1.Goodbye{Reason: goodbyes[end]}}})
}

type connKey struct{}

// withConn lets the stream's handler bound its writes.
func withConn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), connKey{}, http.NewResponseController(w))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func connOf(ctx context.Context) *http.ResponseController {
	c, _ := ctx.Value(connKey{}).(*http.ResponseController)
	return c
}
