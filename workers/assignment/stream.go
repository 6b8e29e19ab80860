package assignment

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/home"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/peer"
	"github.com/leanvibe/hive/workers/assignment/wire"
)

const (
	// keepAliveEvery shows both ends, and the proxy between, that a stream lives.
	keepAliveEvery = 5 * time.Second
	// sendMost bounds the sending of one frame: an agent that reads nothing for that long
	// has gone.
	sendMost = 10 * time.Second
	// cleanupMost bounds what is done for a stream after its end.
	cleanupMost = 5 * time.Second
)

// agentStream is the stream of one agent: what the home tells gathers until serve sends it.
type agentStream struct {
	agent, session string
	guest          *home.Guest
	wake           chan struct{}

	mu      sync.Mutex
	given   []partition.Assignment
	goodbye hivev1.Goodbye_Reason
}

// Assign is told by the home.
func (a *agentStream) Assign(list []partition.Assignment) {
	a.mu.Lock()
	a.given = append(a.given, list...)
	a.mu.Unlock()
	nudge(a.wake)
}

// Lost is told by the home. The agent hears of it with its next heartbeat.
func (a *agentStream) Lost([]partition.Execution) {}

var goodbyes = map[home.Reason]hivev1.Goodbye_Reason{
	home.Draining: hivev1.Goodbye_REASON_DRAINING,
	home.Replaced: hivev1.Goodbye_REASON_REPLACED,
}

// Gone is told by the home.
func (a *agentStream) Gone(why home.Reason) { a.end(goodbyes[why]) }

// end has the stream end behind what was given; the first reason counts.
func (a *agentStream) end(why hivev1.Goodbye_Reason) {
	a.mu.Lock()
	if a.goodbye == hivev1.Goodbye_REASON_UNSPECIFIED {
		a.goodbye = why
	}
	a.mu.Unlock()
	nudge(a.wake)
}

// nudge wakes who waits on a channel with room for one.
func nudge(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

func (a *agentStream) take() ([]partition.Assignment, hivev1.Goodbye_Reason) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.given
	a.given = nil
	return out, a.goodbye
}

// begin registers a stream, unless the replica drains.
func (s *service) begin() bool {
	s.streamMu.Lock()
	defer s.streamMu.Unlock()
	select {
	case <-s.draining:
		return false
	default:
	}
	s.open.Add(1)
	return true
}

// attach serves one agent's stream until it ends.
func (s *service) attach(ctx context.Context, in *hivev1.AttachRequest, send func(*hivev1.AttachResponse) error) error {
	spec, err := specOf(in)
	if err != nil {
		return err
	}
	if !s.begin() {
		return send(goodbyeFrame(hivev1.Goodbye_REASON_DRAINING))
	}
	defer s.open.Done()
	a := &agentStream{agent: spec.ID, session: s.name + "/" + uuid.NewString(), wake: make(chan struct{}, 1)}
	got := s.home.Attach(ctx, []home.Arrival{{AgentSpec: spec, Held: wire.ExecutionsOf(in.GetHeld()), Stream: a}})[0]
	if errors.Is(got.Err, home.ErrClosed) {
		return send(goodbyeFrame(hivev1.Goodbye_REASON_DRAINING))
	}
	if got.Err != nil {
		return got.Err
	}
	a.guest = got.Guest
	s.remember(a)
	defer s.forget(a)
	if err := send(attachedFrame(a.session, s.lease, got.Lost)); err != nil {
		s.broken(ctx, a, nil)
		return err
	}
	s.log.Info("agent attached", "agent", a.agent, "session", a.session, "capacity", spec.Capacity, "held", len(in.GetHeld()), "lost", len(got.Lost))
	err = s.serve(ctx, a, send)
	s.log.Info("agent left", "agent", a.agent, "session", a.session, "cause", err)
	return err
}

// serve sends what the home tells until the stream ends, nil for an orderly end.
func (s *service) serve(ctx context.Context, a *agentStream, send func(*hivev1.AttachResponse) error) error {
	keepAlive := time.NewTicker(keepAliveEvery)
	defer keepAlive.Stop()
	for {
		given, goodbye := a.take()
		for i := range given {
			if err := send(assignmentFrame(&given[i])); err != nil {
				// The one whose sending failed may have arrived: it is left to its lease.
				s.broken(ctx, a, given[i+1:])
				return err
			}
		}
		if goodbye != hivev1.Goodbye_REASON_UNSPECIFIED {
			return s.farewell(ctx, a, goodbye, send)
		}
		var err error
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-keepAlive.C:
			err = send(keepAliveFrame())
		case <-a.wake:
		}
		if err != nil {
			given, _ := a.take()
			s.broken(ctx, a, given)
			return err
		}
	}
}

// farewell ends a stream in order: nothing is assigned any more, and what was is sent.
func (s *service) farewell(ctx context.Context, a *agentStream, why hivev1.Goodbye_Reason, send func(*hivev1.AttachResponse) error) error {
	s.home.Leave(ctx, []*home.Guest{a.guest})
	given, _ := a.take()
	for i := range given {
		if err := send(assignmentFrame(&given[i])); err != nil {
			s.broken(ctx, a, given[i+1:])
			return err
		}
	}
	return send(goodbyeFrame(why))
}

// broken cleans up behind a stream that has broken: what was not sent is given back.
func (s *service) broken(ctx context.Context, a *agentStream, unsent []partition.Assignment) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupMost)
	defer cancel()
	s.home.Drop(ctx, []*home.Guest{a.guest})
	more, _ := a.take()
	s.giveBack(ctx, a.agent, append(unsent, more...))
}

// giveBack returns executions that have not been sent.
func (s *service) giveBack(ctx context.Context, agent string, unsent []partition.Assignment) {
	if len(unsent) == 0 {
		return
	}
	back := make([]*hivev1.Execution, len(unsent))
	for i := range unsent {
		back[i] = wire.ExecutionToProto(unsent[i].Execution)
	}
	if _, err := s.release(ctx, agent, back); err != nil {
		s.log.Warn("give back failed; the leases will run out", "agent", agent, "tasks", len(unsent), "error", err)
	}
}

func (s *service) remember(a *agentStream) {
	s.streamMu.Lock()
	defer s.streamMu.Unlock()
	s.sessions[a.session] = a
}

func (s *service) forget(a *agentStream) {
	s.streamMu.Lock()
	defer s.streamMu.Unlock()
	delete(s.sessions, a.session)
}

// detach ends an agent's stream in order, at whichever replica is its home. A stream that
// is not there has ended already.
func (s *service) detach(ctx context.Context, agent, session string) error {
	var c fieldCheck
	checkAgent(&c, agent)
	if err := c.err(); err != nil {
		return err
	}
	name := peer.HomeOf(session)
	if name == s.name {
		return s.detachHere(ctx, agent, session)
	}
	if address := s.keeper.Address(name); address != "" {
		return s.peers(address).Detach(ctx, agent, session)
	}
	return nil
}

// detachHere ends a stream of this replica.
func (s *service) detachHere(_ context.Context, agent, session string) error {
	s.streamMu.Lock()
	a := s.sessions[session]
	s.streamMu.Unlock()
	if a != nil && a.agent == agent {
		a.end(hivev1.Goodbye_REASON_DETACHED)
	}
	return nil
}

// stop ends all streams in order and waits for their end, then hands this replica's
// partitions over.
func (s *service) stop(ctx context.Context) {
	s.drain.Do(func() {
		s.streamMu.Lock()
		close(s.draining)
		s.streamMu.Unlock()
	})
	s.standing.stop()
	s.home.Close()
	done := make(chan struct{})
	go func() { s.open.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
	s.keeper.Leave(ctx)
}

func attachedFrame(session string, lease time.Duration, lost []partition.Execution) *hivev1.AttachResponse {
	return &hivev1.AttachResponse{Event: &hivev1.AttachResponse_Attached{Attached: &hivev1.Attached{
		Session: session, Lease: duration(lease), Lost: wire.ExecutionsToProto(lost),
	}}}
}

func assignmentFrame(a *partition.Assignment) *hivev1.AttachResponse {
	return &hivev1.AttachResponse{Event: &hivev1.AttachResponse_Assignment{Assignment: wire.AssignmentToProto(a)}}
}

func keepAliveFrame() *hivev1.AttachResponse {
	return &hivev1.AttachResponse{Event: &hivev1.AttachResponse_KeepAlive{KeepAlive: &hivev1.KeepAlive{}}}
}

func goodbyeFrame(why hivev1.Goodbye_Reason) *hivev1.AttachResponse {
	return &hivev1.AttachResponse{Event: &hivev1.AttachResponse_Goodbye{Goodbye: &hivev1.Goodbye{Reason: why}}}
}

type connKey struct{}

// withConn lets the stream's handler bound its writes.
func withConn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), connKey{}, http.NewResponseController(w))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// bounded sends within sendMost each time; lift takes the bound away again, so that the
// proxy may use the connection for more.
func bounded[T any](ctx context.Context, stream interface{ Send(*T) error }) (send func(*T) error, lift func()) {
	conn, _ := ctx.Value(connKey{}).(*http.ResponseController)
	if conn == nil {
		return stream.Send, func() {}
	}
	send = func(m *T) error {
		if err := conn.SetWriteDeadline(time.Now().Add(sendMost)); err != nil {
			return err
		}
		return stream.Send(m)
	}
	return send, func() { _ = conn.SetWriteDeadline(time.Time{}) }
}

// ended makes the end of a stream that its peer has left no error: nobody hears of it.
func ended(ctx context.Context, err error) error {
	left := ctx.Err() != nil || connect.CodeOf(err) == connect.CodeCanceled
	if left {
		err = nil
	}
	return rpcError(err)
}
