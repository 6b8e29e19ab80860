package assignment

import (
	"context"
	"errors"
	"io"
	"maps"
	"sync"
	"time"

	"connectrpc.com/connect"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/home"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/wire"
	"github.com/leanvibe/hive/workers/process/access"
)

// framesAtOnce bounds the frames of one stream that are worked on side by side: beyond it
// the stream is not read on.
const framesAtOnce = 32

// workStream is the stream of many agents. What is to be sent gathers in one frame until
// serve sends it.
type workStream struct {
	*service
	wake chan struct{}
	// dismissed is told when the home wants none of the agents any more.
	dismissed chan struct{}

	mu     sync.Mutex
	agents map[string]*workAgent
	frame  *hivev1.WorkResponse
	given  map[string][]partition.Assignment // what of frame can be given back
	spare  map[string][]partition.Assignment // the lists of the frame before, empty
	some   bool
}

// workAgent is one agent on it.
type workAgent struct {
	*workStream
	id    string
	guest *home.Guest
}

// work serves a stream of many agents until it ends.
func (s *service) work(ctx context.Context, receive func() (*hivev1.WorkRequest, error), send func(*hivev1.WorkResponse) error) error {
	if !s.begin() {
		return send(&hivev1.WorkResponse{Goodbye: &hivev1.Goodbye{Reason: hivev1.Goodbye_REASON_DRAINING}})
	}
	defer s.open.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &workStream{
		service: s, wake: make(chan struct{}, 1), dismissed: make(chan struct{}, 1), agents: map[string]*workAgent{},
		frame: &hivev1.WorkResponse{Lease: duration(s.lease)}, given: map[string][]partition.Assignment{}, some: true,
	}
	defer w.close(ctx)
	read := make(chan error, 1)
	go func() { read <- w.read(ctx, receive) }()
	keepAlive := time.NewTicker(keepAliveEvery)
	defer keepAlive.Stop()
	for {
		if err := w.flush(send, false); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-read:
			// The peer sends no more: what it sent is done, and answered.
			return errors.Join(err, w.flush(send, false))
		case <-keepAlive.C:
			if err := w.flush(send, true); err != nil {
				return err
			}
		case <-w.wake:
		case <-w.dismissed:
			return w.farewell(ctx, send)
		case <-s.draining:
			return w.farewell(ctx, send)
		}
	}
}

// farewell ends the stream in order: nothing is assigned any more, and what was goes with
// the goodbye in one frame, for the peer reads no further than that.
func (w *workStream) farewell(ctx context.Context, send func(*hivev1.WorkResponse) error) error {
	w.home.Leave(ctx, w.guests())
	w.put(func(m *hivev1.WorkResponse) { m.Goodbye = &hivev1.Goodbye{Reason: hivev1.Goodbye_REASON_DRAINING} })
	return w.flush(send, false)
}

// put adds to the frame that is sent next.
func (w *workStream) put(add func(*hivev1.WorkResponse)) {
	w.mu.Lock()
	add(w.frame)
	w.some = true
	w.mu.Unlock()
	nudge(w.wake)
}

// flush sends what has gathered, or an empty frame if it must.
func (w *workStream) flush(send func(*hivev1.WorkResponse) error, must bool) error {
	w.mu.Lock()
	frame, given, some := w.frame, w.given, w.some
	if some {
		w.frame, w.given, w.spare, w.some = &hivev1.WorkResponse{}, w.spare, nil, false
		if w.given == nil {
			w.given = map[string][]partition.Assignment{}
		}
	}
	w.mu.Unlock()
	if !some {
		if !must {
			return nil
		}
		frame = &hivev1.WorkResponse{}
	}
	for agent, list := range given {
		if len(list) == 0 {
			continue
		}
		frame.Assignments = append(frame.Assignments, &hivev1.AgentAssignments{AgentId: agent, Assignments: wire.AssignmentsToProto(list)})
		clear(list)
		given[agent] = list[:0]
	}
	if some {
		w.keep(given)
	}
	return send(frame)
}

// keep has the lists of a frame that is made used for another one, but for those of agents
// that have gone.
func (w *workStream) keep(given map[string][]partition.Assignment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(given, func(agent string, _ []partition.Assignment) bool { return w.agents[agent] == nil })
	w.spare = given
}

// read does what the peer's frames say until it sends no more.
func (w *workStream) read(ctx context.Context, receive func() (*hivev1.WorkRequest, error)) error {
	slots := make(chan struct{}, framesAtOnce)
	var underWay sync.WaitGroup
	defer underWay.Wait()
	for {
		m, err := receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.own(ctx, m); err != nil {
			return err
		}
		if len(m.GetAttach()) > 0 {
			w.attach(ctx, m.GetAttach()) // before what follows: it may be about these agents
		}
		leaving := w.leaving(m.GetDetach()) // before what follows: it may attach them again
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		underWay.Go(func() {
			w.do(ctx, m, leaving)
			<-slots
		})
	}
}

// own refuses a stream that speaks for an agent that its token does not cover.
func (w *workStream) own(ctx context.Context, m *hivev1.WorkRequest) error {
	var errs error
	for _, a := range m.GetAttach() {
		errs = errors.Join(errs, access.Own(ctx, a.GetAgentId()))
	}
	for _, b := range m.GetHeartbeats() {
		errs = errors.Join(errs, access.Own(ctx, b.GetAgentId()))
	}
	for _, r := range m.GetResults() {
		errs = errors.Join(errs, access.Own(ctx, r.GetAgentId()))
	}
	for _, r := range m.GetReleases() {
		errs = errors.Join(errs, access.Own(ctx, r.GetAgentId()))
	}
	return errs
}

// attach takes agents in.
func (w *workStream) attach(ctx context.Context, list []*hivev1.AttachRequest) {
	answers := make([]*hivev1.AgentAttached, 0, len(list))
	arrivals := make([]home.Arrival, 0, len(list))
	agents := make([]*workAgent, 0, len(list))
	for _, in := range list {
		spec, err := specOf(in)
		if err != nil {
			answers = append(answers, refusedAgent(in.GetAgentId(), err))
			continue
		}
		a := &workAgent{workStream: w, id: spec.ID}
		w.mu.Lock()
		w.agents[spec.ID] = a
		w.mu.Unlock()
		agents = append(agents, a)
		arrivals = append(arrivals, home.Arrival{AgentSpec: spec, Held: wire.ExecutionsOf(in.GetHeld()), Stream: a})
	}
	for i, got := range w.home.Attach(ctx, arrivals) {
		if errors.Is(got.Err, home.ErrClosed) {
			nudge(w.dismissed) // another replica takes them
		}
		if got.Err != nil {
			w.drop(agents[i])
			answers = append(answers, refusedAgent(agents[i].id, got.Err))
			continue
		}
		w.mu.Lock()
		agents[i].guest = got.Guest
		w.mu.Unlock()
		answers = append(answers, &hivev1.AgentAttached{AgentId: agents[i].id, Lost: wire.ExecutionsToProto(got.Lost)})
	}
	w.put(func(m *hivev1.WorkResponse) { m.Attached = append(m.Attached, answers...) })
}

func refusedAgent(id string, err error) *hivev1.AgentAttached {
	return &hivev1.AgentAttached{AgentId: id, Refused: connect.CodeOf(rpcError(err)).String(), Reason: err.Error()}
}

// drop takes an agent off the stream; false when it is not there any more, or has attached
// again on it.
func (w *workStream) drop(a *workAgent) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.agents[a.id] != a {
		return false
	}
	delete(w.agents, a.id)
	return true
}

// do does the rest of a frame; leaving are those that it detaches.
func (w *workStream) do(ctx context.Context, m *hivev1.WorkRequest, leaving []*home.Guest) {
	if beats := m.GetHeartbeats(); len(beats) > 0 {
		w.beat(ctx, beats)
	}
	if results := m.GetResults(); len(results) > 0 {
		w.results(ctx, results, m.GetSequence())
	}
	for _, r := range m.GetReleases() {
		if _, err := w.release(ctx, r.GetAgentId(), r.GetExecutions()); err != nil {
			w.log.Warn("could not give tasks back; their leases will run out", "agent", r.GetAgentId(), "tasks", len(r.GetExecutions()), "error", err)
		}
	}
	if ids := m.GetDetach(); len(ids) > 0 {
		w.home.Leave(ctx, leaving)
		w.put(func(m *hivev1.WorkResponse) { m.Gone = append(m.Gone, ids...) })
	}
}

func (w *workStream) beat(ctx context.Context, beats []*hivev1.HeartbeatRequest) {
	lost, err := w.heartbeat(ctx, beats)
	if err != nil {
		w.log.Warn("heartbeats did not reach every partition", "agents", len(beats), "error", err)
	}
	w.put(func(m *hivev1.WorkResponse) {
		for i, gone := range lost {
			if len(gone) > 0 {
				m.Lost = append(m.Lost, &hivev1.AgentLost{AgentId: beats[i].GetAgentId(), Lost: wire.ExecutionsToProto(gone)})
			}
		}
	})
}

// results ends executions. Where the frame has a number, that answers all that were accepted.
func (w *workStream) results(ctx context.Context, results []*hivev1.CompleteRequest, sequence uint64) {
	var answers []*hivev1.Reported
	for i, o := range w.report(ctx, results) {
		if sequence == 0 || o.err != nil || !o.verdict.Accepted {
			answers = append(answers, reportedToProto(results[i], o))
		}
	}
	w.put(func(m *hivev1.WorkResponse) {
		m.Reported = append(m.Reported, answers...)
		if sequence != 0 {
			m.Settled = append(m.Settled, sequence)
		}
	})
}

func reportedToProto(r *hivev1.CompleteRequest, o reported) *hivev1.Reported {
	out := &hivev1.Reported{AgentId: r.GetAgentId(), Execution: r.GetExecution()}
	if o.err != nil {
		out.Refused, out.Reason = connect.CodeOf(rpcError(o.err)).String(), o.err.Error()
	} else {
		out.Outcome = wire.VerdictToProto(o.verdict)
	}
	return out
}

// leaving takes agents off the stream and answers who is to be detached.
func (w *workStream) leaving(ids []string) []*home.Guest {
	w.mu.Lock()
	defer w.mu.Unlock()
	var guests []*home.Guest
	for _, id := range ids {
		if a := w.agents[id]; a != nil && a.guest != nil {
			guests = append(guests, a.guest)
			delete(w.agents, id)
		}
	}
	return guests
}

// guests answers who is attached on this stream, and takes them off it.
func (w *workStream) guests() []*home.Guest {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*home.Guest
	for _, a := range w.agents {
		if a.guest != nil {
			out = append(out, a.guest)
		}
	}
	clear(w.agents)
	return out
}

// close cleans up behind the stream: what was not sent is given back.
func (w *workStream) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupMost)
	defer cancel()
	w.home.Drop(ctx, w.guests())
	w.mu.Lock()
	given := w.given
	w.given, w.spare = map[string][]partition.Assignment{}, nil
	w.mu.Unlock()
	for agent, list := range given {
		w.giveBack(ctx, agent, list)
	}
}

// Assign is told by the home.
func (a *workAgent) Assign(list []partition.Assignment) {
	a.put(func(*hivev1.WorkResponse) { a.given[a.id] = append(a.given[a.id], list...) })
}

// Lost is told by the home.
func (a *workAgent) Lost(list []partition.Execution) {
	a.put(func(m *hivev1.WorkResponse) {
		m.Lost = append(m.Lost, &hivev1.AgentLost{AgentId: a.id, Lost: wire.ExecutionsToProto(list)})
	})
}

// Gone is told by the home. That the replica drains is said once, for all, behind what was
// assigned; that the agent has attached again, only if it was not detached before.
func (a *workAgent) Gone(why home.Reason) {
	switch {
	case why == home.Draining:
		nudge(a.dismissed)
	case a.drop(a):
		a.put(func(m *hivev1.WorkResponse) { m.Gone = append(m.Gone, a.id) })
	}
}
