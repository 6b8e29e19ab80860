package peer

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/wire"
)

// Server answers other replicas for the partitions that this one owns.
type Server struct {
	// Local answers a partition of this replica; nil: it is not.
	Local func(n int) *partition.Partition
	// Leave ends the stream of an agent that is attached here, if session is its stream's.
	Leave func(ctx context.Context, agent, session string) error
	// Standing takes an order of whether this replica takes agents and partitions, or where
	// there is none only looks, and answers how it stands.
	Standing func(order *Order) (Standing, error)

	mu       sync.Mutex
	sessions map[string]*session
}

// Handler serves the calls to who knows the token.
func (s *Server) Handler(token string) http.Handler {
	_, calls := hivev1connect.NewPeerServiceHandler(s, connect.WithReadMaxBytes(sendMost))
	want := []byte("Bearer " + token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			http.Error(w, "this port is for the orchestrator's replicas, with their token (HIVE_PEER_TOKEN_FILE)", http.StatusUnauthorized)
			return
		}
		if !strings.HasPrefix(r.URL.Path, "/"+hivev1connect.PeerServiceName+"/") {
			http.NotFound(w, r)
			return
		}
		calls.ServeHTTP(w, r)
	})
}

func (s *Server) local(n uint32) (*partition.Partition, error) {
	if p := s.Local(int(n)); p != nil {
		return p, nil
	}
	return nil, wire.PeerError(partition.ErrLost)
}

func answer[T any](msg *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, wire.PeerError(err)
	}
	return connect.NewResponse(msg), nil
}

// Submit stores tasks.
func (s *Server) Submit(ctx context.Context, r *connect.Request[hivev1.PeerSubmitRequest]) (*connect.Response[hivev1.PeerSubmitResponse], error) {
	p, err := s.local(r.Msg.GetPartition())
	if err != nil {
		return nil, err
	}
	drafts := make([]*partition.Draft, len(r.Msg.GetDrafts()))
	for i, d := range r.Msg.GetDrafts() {
		drafts[i] = wire.DraftOfPeer(d)
	}
	stored, err := p.Submit(ctx, drafts)
	out := &hivev1.PeerSubmitResponse{Outcomes: make([]*hivev1.PeerSubmitted, len(stored))}
	for i := range stored {
		out.Outcomes[i] = &hivev1.PeerSubmitted{Task: stored[i].Task[:], Duplicate: stored[i].Duplicate, Refused: wire.RefusalToProto(stored[i].Err)}
	}
	return answer(out, err)
}

func taskID(r *hivev1.PeerTaskRequest) (id partition.TaskID) {
	copy(id[:], r.GetId())
	return id
}

// Get answers a task.
func (s *Server) Get(ctx context.Context, r *connect.Request[hivev1.PeerTaskRequest]) (*connect.Response[hivev1.GetTaskResponse], error) {
	p, err := s.local(r.Msg.GetPartition())
	if err != nil {
		return nil, err
	}
	var task partition.Task
	if wait := r.Msg.GetWait().AsDuration(); wait > 0 {
		limited, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		task, err = p.Await(limited, taskID(r.Msg))
	} else {
		task, err = p.Get(ctx, taskID(r.Msg))
	}
	return answer(&hivev1.GetTaskResponse{Task: wire.TaskToProto(&task)}, err)
}

// Cancel takes back a waiting task.
func (s *Server) Cancel(ctx context.Context, r *connect.Request[hivev1.PeerTaskRequest]) (*connect.Response[hivev1.CancelResponse], error) {
	p, err := s.local(r.Msg.GetPartition())
	if err != nil {
		return nil, err
	}
	return answer(&hivev1.CancelResponse{}, p.Cancel(ctx, taskID(r.Msg)))
}

// Explain says where a task stands.
func (s *Server) Explain(ctx context.Context, r *connect.Request[hivev1.PeerTaskRequest]) (*connect.Response[hivev1.ExplainResponse], error) {
	p, err := s.local(r.Msg.GetPartition())
	if err != nil {
		return nil, err
	}
	text, err := p.Explain(ctx, taskID(r.Msg))
	return answer(&hivev1.ExplainResponse{Text: text}, err)
}

// Redrive puts a dead letter back.
func (s *Server) Redrive(ctx context.Context, r *connect.Request[hivev1.PeerTaskRequest]) (*connect.Response[hivev1.RedriveResponse], error) {
	p, err := s.local(r.Msg.GetPartition())
	if err != nil {
		return nil, err
	}
	return answer(&hivev1.RedriveResponse{}, p.Redrive(ctx, taskID(r.Msg)))
}

// List answers a page of tasks.
func (s *Server) List(ctx context.Context, r *connect.Request[hivev1.PeerListRequest]) (*connect.Response[hivev1.ListTasksResponse], error) {
	p, err := s.local(r.Msg.GetPartition())
	if err != nil {
		return nil, err
	}
	page := partition.Page{Queue: r.Msg.GetQueue(), Phase: wire.PhaseOf(r.Msg.GetState()), Most: int(r.Msg.GetMost())}
	copy(page.After[:], r.Msg.GetAfter())
	tasks, err := p.List(ctx, page)
	out := &hivev1.ListTasksResponse{Tasks: make([]*hivev1.Task, len(tasks))}
	for i := range tasks {
		out.Tasks[i] = wire.TaskToProto(&tasks[i])
	}
	return answer(out, err)
}

// Stats answers every queue's counters.
func (s *Server) Stats(ctx context.Context, r *connect.Request[hivev1.PeerRequest]) (*connect.Response[hivev1.StatsResponse], error) {
	p, err := s.local(r.Msg.GetPartition())
	if err != nil {
		return nil, err
	}
	queues, err := p.Stats(ctx)
	out := &hivev1.StatsResponse{Queues: make([]*hivev1.QueueStats, len(queues))}
	for i := range queues {
		out.Queues[i] = wire.StatsToProto(&queues[i])
	}
	return answer(out, err)
}

// Snapshot writes a partition's snapshot now and trims its log.
func (s *Server) Snapshot(ctx context.Context, r *connect.Request[hivev1.PeerRequest]) (*connect.Response[hivev1.PeerSnapshotResponse], error) {
	p, err := s.local(r.Msg.GetPartition())
	if err != nil {
		return nil, err
	}
	done, changed, err := p.Snapshot(ctx)
	return answer(&hivev1.PeerSnapshotResponse{Sequence: done.Sequence, Before: uint64(done.Before), After: uint64(done.After), Changed: changed}, err)
}

// Agents answers who is attached or holds something.
func (s *Server) Agents(ctx context.Context, r *connect.Request[hivev1.PeerRequest]) (*connect.Response[hivev1.ListAgentsResponse], error) {
	p, err := s.local(r.Msg.GetPartition())
	if err != nil {
		return nil, err
	}
	agents, err := p.Agents(ctx)
	out := &hivev1.ListAgentsResponse{Agents: make([]*hivev1.Agent, len(agents))}
	for i := range agents {
		out.Agents[i] = wire.AgentToProto(&agents[i])
	}
	return answer(out, err)
}

// Heartbeat renews leases.
func (s *Server) Heartbeat(ctx context.Context, r *connect.Request[hivev1.PeerHeartbeatRequest]) (*connect.Response[hivev1.PeerHeartbeatResponse], error) {
	p, err := s.local(r.Msg.GetPartition())
	if err != nil {
		return nil, err
	}
	beats := make([]partition.Beat, len(r.Msg.GetBeats()))
	for i, b := range r.Msg.GetBeats() {
		beats[i] = partition.Beat{Agent: b.GetAgentId(), Held: wire.ExecutionsOf(b.GetHeld())}
	}
	lost, err := p.Heartbeat(ctx, beats)
	out := &hivev1.PeerHeartbeatResponse{Answers: make([]*hivev1.HeartbeatResponse, len(lost))}
	for i, l := range lost {
		out.Answers[i] = &hivev1.HeartbeatResponse{Lost: wire.ExecutionsToProto(l)}
	}
	return answer(out, err)
}

// Report ends executions.
func (s *Server) Report(ctx context.Context, r *connect.Request[hivev1.PeerReportRequest]) (*connect.Response[hivev1.PeerReportResponse], error) {
	p, err := s.local(r.Msg.GetPartition())
	if err != nil {
		return nil, err
	}
	reports := make([]partition.Report, len(r.Msg.GetReports()))
	for i, c := range r.Msg.GetReports() {
		reports[i] = wire.ReportOf(c)
	}
	verdicts, err := p.Report(ctx, reports)
	out := &hivev1.PeerReportResponse{Verdicts: make([]*hivev1.CompleteResponse, len(verdicts))}
	for i, v := range verdicts {
		out.Verdicts[i] = wire.VerdictToProto(v)
	}
	return answer(out, err)
}

// Release gives executions back.
func (s *Server) Release(ctx context.Context, r *connect.Request[hivev1.PeerReleaseRequest]) (*connect.Response[hivev1.ReleaseResponse], error) {
	p, err := s.local(r.Msg.GetPartition())
	if err != nil {
		return nil, err
	}
	n, err := p.Release(ctx, r.Msg.GetRelease().GetAgentId(), wire.ExecutionsOf(r.Msg.GetRelease().GetExecutions()))
	return answer(&hivev1.ReleaseResponse{Released: uint32(n)}, err)
}

// unseatMost bounds what is done for a session after its end.
const unseatMost = 3 * time.Second

// Watch serves a desk until the asking replica, or the partition, has gone.
func (s *Server) Watch(ctx context.Context, r *connect.Request[hivev1.PeerRequest], stream *connect.ServerStream[hivev1.PeerEvents]) error {
	p, err := s.local(r.Msg.GetPartition())
	if err != nil {
		return err
	}
	open := newSession(uuid.NewString(), r.Msg.GetHome(), p)
	s.add(open)
	defer func() {
		s.remove(open)
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), unseatMost)
		defer cancel()
		// Where that fails the partition has ended, or a lease term makes its agents silent.
		_ = open.end(after)
	}()
	if err := stream.Send(&hivev1.PeerEvents{Session: open.id}); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.Over():
			// What it assigned last is heard before the next owner is asked.
			if err := sendEvents(open, stream); err != nil {
				return err
			}
			return wire.PeerError(partition.ErrLost)
		case <-open.wake:
		}
		if err := sendEvents(open, stream); err != nil {
			return err
		}
	}
}

func sendEvents(open *session, stream *connect.ServerStream[hivev1.PeerEvents]) error {
	events := open.take()
	if len(events) == 0 {
		return nil
	}
	return stream.Send(&hivev1.PeerEvents{Events: events})
}

func (s *Server) add(open *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions == nil {
		s.sessions = map[string]*session{}
	}
	s.sessions[open.id] = open
}

func (s *Server) remove(open *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, open.id)
}

// session answers a desk by its name.
func (s *Server) session(id string) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if open := s.sessions[id]; open != nil {
		return open, nil
	}
	return nil, wire.PeerError(partition.ErrLost)
}

// Seat attaches agents of the asking replica.
func (s *Server) Seat(ctx context.Context, r *connect.Request[hivev1.PeerSeatRequest]) (*connect.Response[hivev1.PeerSeatResponse], error) {
	open, err := s.session(r.Msg.GetSession())
	if err != nil {
		return nil, err
	}
	list := make([]partition.Seating, len(r.Msg.GetSeatings()))
	for i, in := range r.Msg.GetSeatings() {
		list[i] = partition.Seating{
			AgentSpec: wire.SpecOf(in.GetAgent()), Slots: int(in.GetSlots()), Held: wire.ExecutionsOf(in.GetAgent().GetHeld()),
			Sink: open.seat(in.GetSeat(), in.GetAgent().GetAgentId()), Home: open.home,
		}
	}
	refused, err := open.partition.Seat(ctx, list)
	out := &hivev1.PeerSeatResponse{Refused: make([]*hivev1.PeerRefusal, len(refused))}
	for i, e := range refused {
		out.Refused[i] = wire.RefusalToProto(e)
	}
	return answer(out, err)
}

// Unseat detaches them.
func (s *Server) Unseat(ctx context.Context, r *connect.Request[hivev1.PeerUnseatRequest]) (*connect.Response[hivev1.PeerUnseatResponse], error) {
	open, err := s.session(r.Msg.GetSession())
	if err != nil {
		return nil, err
	}
	return answer(&hivev1.PeerUnseatResponse{}, open.leave(ctx, r.Msg.GetSeats()))
}

// Grant sets their slots.
func (s *Server) Grant(ctx context.Context, r *connect.Request[hivev1.PeerGrantRequest]) (*connect.Response[hivev1.PeerGrantResponse], error) {
	open, err := s.session(r.Msg.GetSession())
	if err != nil {
		return nil, err
	}
	return answer(&hivev1.PeerGrantResponse{}, open.partition.Grant(ctx, open.grants(r.Msg.GetGrants())))
}

// Detach ends an agent's stream here.
func (s *Server) Detach(ctx context.Context, r *connect.Request[hivev1.DetachRequest]) (*connect.Response[hivev1.DetachResponse], error) {
	return answer(&hivev1.DetachResponse{}, s.Leave(ctx, r.Msg.GetAgentId(), r.Msg.GetSession()))
}
