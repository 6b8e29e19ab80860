package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

const poll = 5 * time.Millisecond

// started is a fleet that runs.
type started struct {
	*Fleet
	stop context.CancelFunc
	end  chan error
}

func start(t testing.TB, f *Fleet, agents ...AgentConfig) *started {
	t.Helper()
	for _, a := range agents {
		require.NoError(t, f.Add(a))
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &started{f, cancel, make(chan error, 1)}
	go func() { s.end <- f.Run(ctx) }()
	t.Cleanup(cancel)
	return s
}

// ended stops the fleet and answers Run's error.
func (s *started) ended(t testing.TB) error {
	t.Helper()
	s.stop()
	return within(t, s.end)
}

func within[T any](t testing.TB, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		require.Fail(t, "nothing came in time")
	}
	return v
}

func TestFleet_EveryAssignmentThroughBrokenStreams(t *testing.T) {
	for name, older := range map[string]bool{"by frames": false, "an older server, by results": true} {
		t.Run(name, func(t *testing.T) { everyAssignment(t, older) })
	}
}

func everyAssignment(t *testing.T, older bool) {
	const agents, tasks = 20, 1500
	h := newHall(tasks)
	h.cuts, h.goodbyes, h.busy, h.lease, h.older = 25, 40, 15, 200*time.Millisecond, older
	f := serve(t, h).NewFleet(FleetConfig{Log: silent})
	var mu sync.Mutex
	begun, ends := map[string]int{}, map[string]int{}
	handle := func(ctx context.Context, as *hivev1.Assignment) ([]byte, error) {
		what := nameOf(as.GetExecution())
		mu.Lock()
		begun[what]++
		mu.Unlock()
		if oneIn(20) { // some are long enough to see streams break and leases renewed
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(50 * time.Millisecond):
			}
		}
		if oneIn(10) {
			return nil, errors.New("failed")
		}
		return []byte(what), nil
	}
	var list []AgentConfig
	for i := range agents {
		list = append(list, AgentConfig{ID: fmt.Sprintf("a%d", i), Capacity: 4, Handle: handle, Grace: patience, Done: func(err error) {
			mu.Lock()
			defer mu.Unlock()
			ends[fmt.Sprint(err)]++
		}})
	}
	s := start(t, f, list...)
	require.Eventually(t, h.see(h.done), patience, poll)
	require.NoError(t, s.ended(t))

	h.mu.Lock()
	defer h.mu.Unlock()
	require.Empty(t, h.refused, "each report was of something held")
	require.Greater(t, h.lines, 1)
	failed := 0
	for task, j := range h.jobs {
		require.Equal(t, j.accepted, j.result, "task %s", task)
		failed += len(j.failed)
	}
	for what, how := range h.back {
		require.Zero(t, begun[what], "%s was begun, and then given back: %s", what, how)
	}
	handed := 0
	for agent, list := range h.granted {
		for _, what := range list {
			handed++
			if h.back[what] == "" {
				require.Equal(t, 1, begun[what], "%s of %s", what, agent)
			}
		}
	}
	require.Equal(t, map[string]int{"<nil>": tasks, "failed": failed}, ends)
	require.Equal(t, handed, tasks+failed+len(h.back))
	t.Logf("%d streams, %d handed out, %d failed, %d given back unread", h.lines, handed, failed, len(h.back))
}

// A fleet that is stopped while its streams break gives back what it had begun, by
// telling so; the next fleet of the same agents does the rest.
func TestFleet_GivesBackThroughBrokenStreams(t *testing.T) {
	const agents, tasks = 10, 200
	h := newHall(tasks)
	h.cuts, h.goodbyes = 6, 12
	c := serve(t, h)
	var mu sync.Mutex
	begun := map[string]bool{}
	fleet := func(handle Handler) *started {
		var list []AgentConfig
		for i := range agents {
			list = append(list, AgentConfig{ID: fmt.Sprintf("a%d", i), Capacity: 4, Handle: handle})
		}
		return start(t, c.NewFleet(FleetConfig{Log: silent}), list...)
	}
	s := fleet(func(ctx context.Context, as *hivev1.Assignment) ([]byte, error) {
		mu.Lock()
		begun[nameOf(as.GetExecution())] = true
		mu.Unlock()
		if oneIn(3) {
			return []byte(nameOf(as.GetExecution())), nil
		}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(begun) > 2*agents
	}, patience, poll)
	require.NoError(t, s.ended(t))
	s = fleet(func(_ context.Context, as *hivev1.Assignment) ([]byte, error) {
		return []byte(nameOf(as.GetExecution())), nil
	})
	require.Eventually(t, h.see(h.done), patience, poll)
	require.NoError(t, s.ended(t))

	h.mu.Lock()
	defer h.mu.Unlock()
	require.Empty(t, h.refused)
	released := 0
	for what, how := range h.back {
		if begun[what] {
			require.Equal(t, "released", how, what)
			released++
		}
	}
	t.Logf("%d streams, %d given back, of which %d had begun", h.lines, len(h.back), released)
}

// untilCancelled is a handler that runs until its context ends, and says when it begins.
func untilCancelled(begun chan<- string) Handler {
	return func(ctx context.Context, as *hivev1.Assignment) ([]byte, error) {
		begun <- nameOf(as.GetExecution())
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
}

func TestFleet_LostCancels(t *testing.T) {
	h := newHall(1)
	begun, done := make(chan string, 1), make(chan error, 1)
	s := start(t, serve(t, h).NewFleet(FleetConfig{Log: silent}), AgentConfig{
		ID: "a", Capacity: 1, Handle: untilCancelled(begun), Done: func(err error) { done <- err },
	})
	require.Equal(t, "t0/1", within(t, begun))
	h.lose("t0")
	require.ErrorIs(t, within(t, done), ErrLost)
	require.NoError(t, s.ended(t))
	require.Empty(t, h.back)
}

func TestFleet_GraceGivesBack(t *testing.T) {
	h := newHall(3)
	begun, done := make(chan string, 3), make(chan error, 3)
	s := start(t, serve(t, h).NewFleet(FleetConfig{Log: silent}), AgentConfig{
		ID: "a", Capacity: 3, Handle: untilCancelled(begun), Done: func(err error) { done <- err },
	})
	for range 3 {
		within(t, begun)
	}
	require.NoError(t, s.ended(t))
	for range 3 {
		require.ErrorIs(t, <-done, ErrGraceOver)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Equal(t, map[string]string{"t0/1": "released", "t1/1": "released", "t2/1": "released"}, h.back)
}

func TestFleet_FinishesWithinGrace(t *testing.T) {
	h := newHall(1)
	begun, let := make(chan string, 2), make(chan struct{})
	s := start(t, serve(t, h).NewFleet(FleetConfig{Log: silent}), AgentConfig{
		ID: "a", Capacity: 2, Grace: patience, Handle: func(_ context.Context, as *hivev1.Assignment) ([]byte, error) {
			begun <- nameOf(as.GetExecution())
			<-let
			return nil, nil
		},
	})
	within(t, begun)
	s.stop()
	require.Eventually(t, h.see(func() bool { return h.seats["a"].line == nil }), patience, poll)
	h.submit("late") // for nobody
	require.ErrorIs(t, s.Add(AgentConfig{ID: "b", Capacity: 1, Handle: untilCancelled(begun)}), ErrFleetStopped)
	close(let)
	require.NoError(t, s.ended(t))
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Equal(t, "t0/1", h.jobs["t0"].accepted)
	require.Empty(t, h.back)
	require.Equal(t, []string{"late"}, h.waiting)
}

func TestFleet_Pause(t *testing.T) {
	h := newHall(1)
	h.lease = 100 * time.Millisecond
	begun, let := make(chan string, 2), make(chan struct{}, 2)
	s := start(t, serve(t, h).NewFleet(FleetConfig{Log: silent}), AgentConfig{
		ID: "a", Capacity: 2, Grace: patience, Handle: func(_ context.Context, as *hivev1.Assignment) ([]byte, error) {
			begun <- nameOf(as.GetExecution())
			<-let
			return nil, nil
		},
	})
	within(t, begun)
	s.Pause("a")
	require.Eventually(t, h.see(func() bool { return h.seats["a"].line == nil }), patience, poll)
	h.submit("t1")
	beats := 0
	h.see(func() bool { beats = h.beats["a"]; return true })()
	require.Eventually(t, h.see(func() bool { return h.beats["a"] > beats+2 }), patience, poll, "what it holds stays its own")
	st, ok := s.Status("a")
	require.True(t, ok)
	require.Equal(t, AgentStatus{Paused: true, InFlight: 1}, st)
	let <- struct{}{}
	require.Eventually(t, h.see(func() bool { return h.jobs["t0"].accepted != "" }), patience, poll)
	require.Empty(t, begun)
	s.Resume("a")
	require.Equal(t, "t1/1", within(t, begun))
	let <- struct{}{}
	require.Eventually(t, h.see(h.done), patience, poll)
	require.NoError(t, s.ended(t))
}

func TestFleet_Remove(t *testing.T) {
	h := newHall(1)
	begun := make(chan string, 2)
	agent := AgentConfig{ID: "a", Capacity: 1, Handle: untilCancelled(begun)}
	s := start(t, serve(t, h).NewFleet(FleetConfig{Log: silent}), agent)
	within(t, begun)
	require.ErrorContains(t, s.Add(agent), "in the fleet already")
	within(t, s.Remove("a"))
	within(t, s.Remove("nobody"))
	_, ok := s.Status("a")
	require.False(t, ok)
	require.Eventually(t, h.see(func() bool { return h.back["t0/1"] == "released" }), patience, poll)
	require.NoError(t, s.Add(agent))
	require.Equal(t, "t0/2", within(t, begun))
	require.NoError(t, s.ended(t))
	require.Equal(t, "released", h.back["t0/2"])
}

func TestFleet_AttachesAgainWhenReplaced(t *testing.T) {
	h := newHall(1)
	begun := make(chan string, 1)
	s := start(t, serve(t, h).NewFleet(FleetConfig{Log: silent}), AgentConfig{ID: "a", Capacity: 1, Handle: untilCancelled(begun)})
	within(t, begun)
	h.replace("a")
	require.Eventually(t, h.see(func() bool { return h.seats["a"].line != nil }), patience, poll)
	require.Empty(t, h.back, "what it held it named")
	require.NoError(t, s.ended(t))
}

func TestFleet_OneAgentRefused(t *testing.T) {
	h := newHall(1)
	h.forbidden = "b"
	refused := make(chan error, 1)
	begun := make(chan string, 1)
	s := start(t, serve(t, h).NewFleet(FleetConfig{Log: silent, Refused: func(_ string, err error) { refused <- err }}),
		AgentConfig{ID: "a", Capacity: 1, Handle: untilCancelled(begun)}, AgentConfig{ID: "b", Capacity: 1, Handle: untilCancelled(begun)})
	err := within(t, refused)
	require.ErrorContains(t, err, "agent b is refused")
	require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err))
	within(t, begun)
	require.NoError(t, s.ended(t))
}

func TestFleet_Refused(t *testing.T) {
	f := serve(t, hivev1connect.UnimplementedAssignmentServiceHandler{}).NewFleet(FleetConfig{Log: silent})
	s := start(t, f, AgentConfig{ID: "a", Capacity: 1, Handle: untilCancelled(nil)})
	require.Equal(t, connect.CodeUnimplemented, connect.CodeOf(within(t, s.end)))
	require.ErrorContains(t, f.Run(t.Context()), "NewFleet makes another")
}

// mute stands still on its first stream, as a process does that is stopped: its proxy goes
// on answering pings.
type mute struct {
	hivev1connect.UnimplementedAssignmentServiceHandler
	streams atomic.Int64
}

func (h *mute) Work(ctx context.Context, stream *connect.BidiStream[hivev1.WorkRequest, hivev1.WorkResponse]) error {
	first := h.streams.Add(1) == 1
	for {
		m, err := stream.Receive()
		if err != nil {
			return nil //nolint:nilerr // the client has no more
		}
		r := &hivev1.WorkResponse{Gone: m.GetDetach()}
		for _, a := range m.GetAttach() {
			r.Attached = append(r.Attached, &hivev1.AgentAttached{AgentId: a.GetAgentId()})
		}
		if err := stream.Send(r); err != nil {
			return err
		}
		if first {
			<-ctx.Done()
			return ctx.Err()
		}
	}
}

func TestFleet_LeavesAStreamThatIsSilent(t *testing.T) {
	h := &mute{}
	f := serve(t, h).NewFleet(FleetConfig{Log: silent})
	f.silence = 200 * time.Millisecond
	s := start(t, f, AgentConfig{ID: "a", Capacity: 1, Handle: untilCancelled(nil)})
	require.Eventually(t, func() bool { return h.streams.Load() > 1 }, patience, poll)
	require.NoError(t, s.ended(t))
}

func TestFleet_WrongAgents(t *testing.T) {
	f := serve(t, newHall(0)).NewFleet(FleetConfig{})
	for _, a := range []AgentConfig{
		{}, {ID: "a", Capacity: 1}, {ID: "a", Handle: untilCancelled(nil)}, {ID: "\xff", Capacity: 1, Handle: untilCancelled(nil)},
	} {
		require.Error(t, f.Add(a))
	}
}

func TestFleet_ReportsWhatCannotBeSentAsFailed(t *testing.T) {
	h := newHall(2)
	done := make(chan error, 2)
	var once sync.Once
	s := start(t, serve(t, h).NewFleet(FleetConfig{Log: silent}), AgentConfig{
		ID: "a", Capacity: 1, Done: func(err error) { done <- err },
		Handle: func(context.Context, *hivev1.Assignment) (result []byte, err error) {
			once.Do(func() { result = make([]byte, payloadMost+1) })
			return result, nil
		},
	})
	require.ErrorContains(t, within(t, done), "the result has 262145 bytes, at most 262144 are accepted")
	require.Eventually(t, h.see(h.done), patience, poll)
	require.NoError(t, s.ended(t))
}

// BenchmarkFleet executes tasks of nothing with 100 agents of one stream.
func BenchmarkFleet(b *testing.B) {
	done := make(chan struct{}, 1024)
	h := &endless{}
	f := serve(b, h).NewFleet(FleetConfig{Log: silent})
	var agents []AgentConfig
	for i := range 100 {
		agents = append(agents, AgentConfig{
			ID: fmt.Sprintf("a%d", i), Capacity: 10, Handle: func(context.Context, *hivev1.Assignment) ([]byte, error) { return nil, nil },
			Done: func(error) {
				select {
				case done <- struct{}{}:
				default:
				}
			},
		})
	}
	s := start(b, f, agents...)
	<-done
	b.ReportAllocs()
	for b.Loop() {
		<-done
	}
	require.NoError(b, s.ended(b))
}

// endless gives each agent ten tasks, and another for each report.
type endless struct {
	hivev1connect.UnimplementedAssignmentServiceHandler
	next uint32
}

func (h *endless) Work(_ context.Context, stream *connect.BidiStream[hivev1.WorkRequest, hivev1.WorkResponse]) error {
	for {
		m, err := stream.Receive()
		if err != nil {
			return nil //nolint:nilerr // the client has no more
		}
		r := &hivev1.WorkResponse{Gone: m.GetDetach()}
		give := func(agent string, n int) {
			a := &hivev1.AgentAssignments{AgentId: agent}
			for range n {
				h.next++
				a.Assignments = append(a.Assignments, &hivev1.Assignment{Execution: &hivev1.Execution{
					TaskId: fmt.Sprintf("0197a3c4-0000-7000-8000-%012d", h.next), Attempt: 1,
				}})
			}
			r.Assignments = append(r.Assignments, a)
		}
		for _, a := range m.GetAttach() {
			r.Attached = append(r.Attached, &hivev1.AgentAttached{AgentId: a.GetAgentId()})
			give(a.GetAgentId(), 10)
		}
		for _, c := range m.GetResults() {
			r.Reported = append(r.Reported, &hivev1.Reported{
				AgentId: c.GetAgentId(), Execution: c.GetExecution(), Outcome: &hivev1.CompleteResponse{Accepted: true},
			})
			if len(m.GetDetach()) == 0 {
				give(c.GetAgentId(), 1)
			}
		}
		if err := stream.Send(r); err != nil {
			return err
		}
	}
}
