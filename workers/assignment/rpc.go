package assignment

import (
	"context"
	"errors"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/archive"
	"github.com/leanvibe/hive/workers/assignment/home"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/wire"
	"github.com/leanvibe/hive/workers/process/access"
)

// rpc serves hive.v1.AssignmentService.
type rpc struct{ *service }

// kinds are the codes of a partition's errors; the texts are those of REST.
var kinds = map[wire.Kind]connect.Code{
	wire.Lost: connect.CodeUnavailable, wire.Busy: connect.CodeUnavailable, wire.NotFound: connect.CodeNotFound,
	wire.Conflict: connect.CodeAlreadyExists, wire.Expired: connect.CodeInvalidArgument,
	wire.NotWaiting: connect.CodeFailedPrecondition, wire.NotDead: connect.CodeFailedPrecondition,
	wire.Damaged: connect.CodeDataLoss,
}

// codeOf gives a condition its Connect code.
func codeOf(err error) connect.Code {
	var invalid *InvalidError
	var large *TooLargeError
	var notOwn *access.NotOwnError
	var away *archive.UnreachableError
	if code, ok := kinds[wire.KindOf(err)]; ok {
		return code
	}
	switch {
	case errors.As(err, &notOwn):
		return connect.CodePermissionDenied
	case errors.As(err, &invalid):
		return connect.CodeInvalidArgument
	case errors.As(err, &large):
		return connect.CodeResourceExhausted
	case errors.As(err, &away), errors.Is(err, home.ErrClosed):
		return connect.CodeUnavailable
	case errors.Is(err, context.Canceled):
		return connect.CodeCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return connect.CodeDeadlineExceeded
	}
	return connect.CodeInternal
}

func rpcError(err error) error {
	if err == nil {
		return nil
	}
	e := connect.NewError(codeOf(err), err)
	if e.Code() == connect.CodeUnavailable {
		e.Meta().Set("Retry-After", seconds(wire.RetryAfter(err)))
	}
	return e
}

// seconds writes a Retry-After of at least one second.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}

func duration(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

// answer wraps a message or turns the error into its code.
func answer[T any](msg *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, rpcError(err)
	}
	return connect.NewResponse(msg), nil
}

// Submit stores one task.
func (r rpc) Submit(ctx context.Context, req *connect.Request[hivev1.SubmitRequest]) (*connect.Response[hivev1.SubmitResponse], error) {
	task, duplicate, err := r.submit(ctx, req.Msg.GetDraft())
	msg, err := taskMessage(task, err)
	return answer(&hivev1.SubmitResponse{Task: msg, Duplicate: duplicate}, err)
}

// SubmitBatch stores many tasks.
func (r rpc) SubmitBatch(ctx context.Context, req *connect.Request[hivev1.SubmitBatchRequest]) (*connect.Response[hivev1.SubmitBatchResponse], error) {
	results, err := r.submitBatch(ctx, req.Msg.GetDrafts())
	return answer(&hivev1.SubmitBatchResponse{Outcomes: outcomesToProto(results)}, err)
}

// SubmitStream stores batches as they come.
func (r rpc) SubmitStream(ctx context.Context, stream *connect.BidiStream[hivev1.SubmitStreamRequest, hivev1.SubmitStreamResponse]) error {
	send, lift := bounded(ctx, stream)
	defer lift()
	return ended(ctx, r.submitStream(ctx, stream.Receive, send))
}

// GetTask answers one task, now or when it has finished.
func (r rpc) GetTask(ctx context.Context, req *connect.Request[hivev1.GetTaskRequest]) (*connect.Response[hivev1.GetTaskResponse], error) {
	var task partition.Task
	var err error
	if wait := req.Msg.GetWait().AsDuration(); wait > 0 {
		task, err = r.wait(ctx, req.Msg.GetId(), wait)
	} else {
		task, err = r.get(ctx, req.Msg.GetId())
	}
	msg, err := taskMessage(task, err)
	return answer(&hivev1.GetTaskResponse{Task: msg}, err)
}

// Cancel takes back a waiting task.
func (r rpc) Cancel(ctx context.Context, req *connect.Request[hivev1.CancelRequest]) (*connect.Response[hivev1.CancelResponse], error) {
	msg, err := taskMessage(r.cancel(ctx, req.Msg.GetId()))
	return answer(&hivev1.CancelResponse{Task: msg}, err)
}

// Explain says in English where a task stands.
func (r rpc) Explain(ctx context.Context, req *connect.Request[hivev1.ExplainRequest]) (*connect.Response[hivev1.ExplainResponse], error) {
	text, phase, err := r.explain(ctx, req.Msg.GetId())
	return answer(&hivev1.ExplainResponse{Text: text, State: wire.StateToProto(phase)}, err)
}

// ListTasks answers a page of tasks.
func (r rpc) ListTasks(ctx context.Context, req *connect.Request[hivev1.ListTasksRequest]) (*connect.Response[hivev1.ListTasksResponse], error) {
	tasks, next, err := r.list(ctx, page{
		queue: req.Msg.GetQueue(), phase: wire.PhaseOf(req.Msg.GetState()), limit: int(min(req.Msg.GetLimit(), maxPage+1)), cursor: req.Msg.GetCursor(),
	})
	out := &hivev1.ListTasksResponse{Next: next, Tasks: make([]*hivev1.Task, len(tasks))}
	for i := range tasks {
		out.Tasks[i] = wire.TaskToProto(&tasks[i])
	}
	return answer(out, err)
}

// Redrive puts a dead letter back.
func (r rpc) Redrive(ctx context.Context, req *connect.Request[hivev1.RedriveRequest]) (*connect.Response[hivev1.RedriveResponse], error) {
	msg, err := taskMessage(r.redrive(ctx, req.Msg.GetId()))
	return answer(&hivev1.RedriveResponse{Task: msg}, err)
}

// Work serves a stream of many agents.
func (r rpc) Work(ctx context.Context, stream *connect.BidiStream[hivev1.WorkRequest, hivev1.WorkResponse]) error {
	send, lift := bounded(ctx, stream)
	defer lift()
	return ended(ctx, r.work(ctx, stream.Receive, send))
}

// Attach serves an agent's stream.
func (r rpc) Attach(ctx context.Context, req *connect.Request[hivev1.AttachRequest], stream *connect.ServerStream[hivev1.AttachResponse]) error {
	if err := access.Own(ctx, req.Msg.GetAgentId()); err != nil {
		return rpcError(err)
	}
	send, lift := bounded(ctx, stream)
	defer lift()
	return ended(ctx, r.attach(ctx, req.Msg, send))
}

// Detach asks for a stream's orderly end.
func (r rpc) Detach(ctx context.Context, req *connect.Request[hivev1.DetachRequest]) (*connect.Response[hivev1.DetachResponse], error) {
	if err := access.Own(ctx, req.Msg.GetAgentId()); err != nil {
		return nil, rpcError(err)
	}
	return answer(&hivev1.DetachResponse{}, r.detach(ctx, req.Msg.GetAgentId(), req.Msg.GetSession()))
}

// Heartbeat renews leases.
func (r rpc) Heartbeat(ctx context.Context, req *connect.Request[hivev1.HeartbeatRequest]) (*connect.Response[hivev1.HeartbeatResponse], error) {
	if err := access.Own(ctx, req.Msg.GetAgentId()); err != nil {
		return nil, rpcError(err)
	}
	lost, err := r.heartbeat(ctx, []*hivev1.HeartbeatRequest{req.Msg})
	if err != nil {
		return nil, rpcError(err)
	}
	return answer(&hivev1.HeartbeatResponse{Lost: wire.ExecutionsToProto(lost[0])}, nil)
}

// Complete ends one execution.
func (r rpc) Complete(ctx context.Context, req *connect.Request[hivev1.CompleteRequest]) (*connect.Response[hivev1.CompleteResponse], error) {
	if err := access.Own(ctx, req.Msg.GetAgentId()); err != nil {
		return nil, rpcError(err)
	}
	out := r.report(ctx, []*hivev1.CompleteRequest{req.Msg})[0]
	return answer(wire.VerdictToProto(out.verdict), out.err)
}

// Release gives executions back.
func (r rpc) Release(ctx context.Context, req *connect.Request[hivev1.ReleaseRequest]) (*connect.Response[hivev1.ReleaseResponse], error) {
	if err := access.Own(ctx, req.Msg.GetAgentId()); err != nil {
		return nil, rpcError(err)
	}
	n, err := r.release(ctx, req.Msg.GetAgentId(), req.Msg.GetExecutions())
	return answer(&hivev1.ReleaseResponse{Released: uint32(n)}, err)
}

// ListAgents answers who is attached or holds something.
func (r rpc) ListAgents(ctx context.Context, _ *connect.Request[hivev1.ListAgentsRequest]) (*connect.Response[hivev1.ListAgentsResponse], error) {
	agents, err := r.agents(ctx)
	out := &hivev1.ListAgentsResponse{Agents: make([]*hivev1.Agent, len(agents))}
	for i := range agents {
		out.Agents[i] = wire.AgentToProto(&agents[i])
	}
	return answer(out, err)
}

// Stats answers the counters.
func (r rpc) Stats(ctx context.Context, req *connect.Request[hivev1.StatsRequest]) (*connect.Response[hivev1.StatsResponse], error) {
	total, queues, err := r.stats(ctx, req.Msg.GetQueue())
	out := &hivev1.StatsResponse{Total: wire.StatsToProto(&total), Queues: make([]*hivev1.QueueStats, len(queues))}
	for i := range queues {
		out.Queues[i] = wire.StatsToProto(&queues[i])
	}
	return answer(out, err)
}
