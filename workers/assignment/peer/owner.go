package peer

import (
	"context"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/route"
	"github.com/leanvibe/hive/workers/assignment/wire"
)

const (
	// askMost bounds one question to another replica. It is below the router's patience:
	// a replica that has stopped in the middle of an answer must not use it up.
	askMost = 3 * time.Second
	// snapshotMost is what a snapshot may take beyond that: together the router's patience.
	snapshotMost = 5 * time.Second
	// watchFirst bounds the wait for a desk's first frame.
	watchFirst = 3 * time.Second
	// sendMost bounds one message between replicas, in bytes: a batch of the largest tasks.
	sendMost = 160 << 20
)

// Client asks one other replica.
type Client struct {
	rpc  hivev1connect.PeerServiceClient
	home string
}

// NewClient asks the replica at an address such as 10.231.2.1:8091, over HTTP/2 without
// TLS, with the replicas' token. home is the name of the asking one.
func NewClient(address, token, home string) *Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, HTTP2: &http.HTTP2Config{SendPingTimeout: 2 * time.Second, PingTimeout: 2 * time.Second}}
	return &Client{
		home: home,
		rpc: hivev1connect.NewPeerServiceClient(&http.Client{Transport: authorized{transport, token}}, "http://"+address,
			connect.WithGRPC(), connect.WithReadMaxBytes(sendMost)),
	}
}

// authorized sends the replicas' token.
type authorized struct {
	http.RoundTripper
	token string
}

// RoundTrip sends r with the token.
func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token)
	return a.RoundTripper.RoundTrip(r)
}

// Owner answers a partition of that replica.
func (c *Client) Owner(n int) route.Owner { return &owner{c, uint32(n)} }

type owner struct {
	*Client
	n uint32
}

// ask makes one call within askMost, or within ctx and what the call itself waits for.
func ask[In, Out any](ctx context.Context, waits time.Duration, do func(context.Context, *connect.Request[In]) (*connect.Response[Out], error), in *In) (*Out, error) {
	limited, cancel := context.WithTimeout(ctx, askMost+waits)
	defer cancel()
	r, err := do(limited, connect.NewRequest(in))
	if err != nil {
		return nil, wire.Refused(ctx, err)
	}
	return r.Msg, nil
}

// Submit stores tasks.
func (o *owner) Submit(ctx context.Context, drafts []*partition.Draft) ([]partition.Submitted, error) {
	in := &hivev1.PeerSubmitRequest{Partition: o.n, Drafts: make([]*hivev1.PeerDraft, len(drafts))}
	for i, d := range drafts {
		in.Drafts[i] = wire.DraftToPeer(d)
	}
	r, err := ask(ctx, 0, o.rpc.Submit, in)
	if err != nil {
		return nil, err
	}
	out := make([]partition.Submitted, len(drafts))
	if len(r.GetOutcomes()) != len(drafts) {
		return nil, partition.ErrLost
	}
	for i, s := range r.GetOutcomes() {
		copy(out[i].Task[:], s.GetTask())
		out[i].Duplicate, out[i].Err = s.GetDuplicate(), wire.RefusalOf(s.GetRefused())
	}
	return out, nil
}

func (o *owner) task(id partition.TaskID, wait time.Duration) *hivev1.PeerTaskRequest {
	return &hivev1.PeerTaskRequest{Partition: o.n, Id: id[:], Wait: durationpb.New(wait)}
}

// Get answers a task.
func (o *owner) Get(ctx context.Context, id partition.TaskID) (partition.Task, error) {
	r, err := ask(ctx, 0, o.rpc.Get, o.task(id, 0))
	return wire.TaskOf(r.GetTask()), err
}

// Await answers a task when it has finished, or as it stands when ctx ends.
func (o *owner) Await(ctx context.Context, id partition.TaskID) (partition.Task, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Minute)
	}
	wait := max(0, time.Until(deadline))
	// The owner ends the wait: with ctx the answer would be gone too.
	r, err := ask(context.WithoutCancel(ctx), wait, o.rpc.Get, o.task(id, wait))
	return wire.TaskOf(r.GetTask()), err
}

// Cancel takes back a waiting task.
func (o *owner) Cancel(ctx context.Context, id partition.TaskID) error {
	_, err := ask(ctx, 0, o.rpc.Cancel, o.task(id, 0))
	return err
}

// Explain says where a task stands.
func (o *owner) Explain(ctx context.Context, id partition.TaskID) (string, error) {
	r, err := ask(ctx, 0, o.rpc.Explain, o.task(id, 0))
	return r.GetText(), err
}

// Redrive puts a dead letter back.
func (o *owner) Redrive(ctx context.Context, id partition.TaskID) error {
	_, err := ask(ctx, 0, o.rpc.Redrive, o.task(id, 0))
	return err
}

// List answers a page.
func (o *owner) List(ctx context.Context, page partition.Page) ([]partition.Task, error) {
	r, err := ask(ctx, 0, o.rpc.List, &hivev1.PeerListRequest{
		Partition: o.n, Queue: page.Queue, State: wire.StateToProto(page.Phase), After: page.After[:], Most: uint32(page.Most),
	})
	out := make([]partition.Task, len(r.GetTasks()))
	for i, t := range r.GetTasks() {
		out[i] = wire.TaskOf(t)
	}
	return out, err
}

// Stats answers every queue's counters.
func (o *owner) Stats(ctx context.Context) ([]partition.Stats, error) {
	r, err := ask(ctx, 0, o.rpc.Stats, &hivev1.PeerRequest{Partition: o.n})
	out := make([]partition.Stats, len(r.GetQueues()))
	for i, q := range r.GetQueues() {
		out[i] = wire.StatsOf(q)
	}
	return out, err
}

// Agents answers who is attached or holds something.
func (o *owner) Agents(ctx context.Context) ([]partition.AgentInfo, error) {
	r, err := ask(ctx, 0, o.rpc.Agents, &hivev1.PeerRequest{Partition: o.n})
	out := make([]partition.AgentInfo, len(r.GetAgents()))
	for i, a := range r.GetAgents() {
		out[i] = wire.AgentOf(a)
	}
	return out, err
}

// Heartbeat renews leases.
func (o *owner) Heartbeat(ctx context.Context, list []partition.Beat) ([][]partition.Execution, error) {
	in := &hivev1.PeerHeartbeatRequest{Partition: o.n, Beats: make([]*hivev1.HeartbeatRequest, len(list))}
	for i, b := range list {
		in.Beats[i] = &hivev1.HeartbeatRequest{AgentId: b.Agent, Held: wire.ExecutionsToProto(b.Held)}
	}
	r, err := ask(ctx, 0, o.rpc.Heartbeat, in)
	if err != nil {
		return nil, err
	}
	if len(r.GetAnswers()) != len(list) {
		return nil, partition.ErrLost
	}
	out := make([][]partition.Execution, len(list))
	for i, a := range r.GetAnswers() {
		out[i] = wire.ExecutionsOf(a.GetLost())
	}
	return out, nil
}

// Report ends executions.
func (o *owner) Report(ctx context.Context, reports []partition.Report) ([]partition.Verdict, error) {
	in := &hivev1.PeerReportRequest{Partition: o.n, Reports: make([]*hivev1.CompleteRequest, len(reports))}
	for i := range reports {
		in.Reports[i] = wire.ReportToProto(&reports[i])
	}
	r, err := ask(ctx, 0, o.rpc.Report, in)
	if err != nil {
		return nil, err
	}
	if len(r.GetVerdicts()) != len(reports) {
		return nil, partition.ErrLost
	}
	out := make([]partition.Verdict, len(reports))
	for i, v := range r.GetVerdicts() {
		out[i] = wire.VerdictOf(v)
	}
	return out, nil
}

// Release gives executions back.
func (o *owner) Release(ctx context.Context, agent string, list []partition.Execution) (int, error) {
	r, err := ask(ctx, 0, o.rpc.Release, &hivev1.PeerReleaseRequest{
		Partition: o.n, Release: &hivev1.ReleaseRequest{AgentId: agent, Executions: wire.ExecutionsToProto(list)},
	})
	return int(r.GetReleased()), err
}

// Snapshot writes the partition's snapshot now and trims its log.
func (o *owner) Snapshot(ctx context.Context) (out partition.Compaction, changed bool, err error) {
	r, err := ask(ctx, snapshotMost, o.rpc.Snapshot, &hivev1.PeerRequest{Partition: o.n})
	return partition.Compaction{Sequence: r.GetSequence(), Before: int(r.GetBefore()), After: int(r.GetAfter())}, r.GetChanged(), err
}

// Detach ends the stream of an agent whose home that replica is.
func (c *Client) Detach(ctx context.Context, agent, session string) error {
	_, err := ask(ctx, 0, c.rpc.Detach, &hivev1.DetachRequest{AgentId: agent, Session: session})
	return err
}

// HomeOf answers the name of the replica that has given a stream its session: what stands
// before the last slash.
func HomeOf(session string) string {
	if i := strings.LastIndexByte(session, '/'); i >= 0 {
		return session[:i]
	}
	return ""
}
