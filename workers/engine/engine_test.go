package engine

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

// patience bounds what must come true, on a machine that may stand still for a while.
const patience = 30 * time.Second

// porter is an orchestrator that answers agents' arrivals, and gives no tasks.
type porter struct {
	hivev1connect.UnimplementedAssignmentServiceHandler
	shut  error           // nobody's stream is accepted
	never map[string]bool // agents that are refused for good
}

// Work implements the service.
func (p porter) Work(_ context.Context, stream *connect.BidiStream[hivev1.WorkRequest, hivev1.WorkResponse]) error {
	if p.shut != nil {
		return p.shut
	}
	for {
		m, err := stream.Receive()
		if err != nil {
			return nil //nolint:nilerr // the peer has ended, in whichever way
		}
		answer := &hivev1.WorkResponse{Gone: m.GetDetach()}
		for _, a := range m.GetAttach() {
			got := &hivev1.AgentAttached{AgentId: a.GetAgentId()}
			if p.never[a.GetAgentId()] {
				got.Refused, got.Reason = connect.CodeInvalidArgument.String(), "no such capability"
			}
			answer.Attached = append(answer.Attached, got)
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

// hosted runs an engine of three agents at a porter.
func hosted(t *testing.T, p porter) (e *Engine, stop context.CancelFunc, end <-chan error) {
	t.Helper()
	_, handler := hivev1connect.NewAssignmentServiceHandler(p)
	srv := httptest.NewUnstartedServer(handler)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	e, err := New(Config{
		Orchestrator: "http://127.0.0.1:1", Streams: srv.URL, Instance: "i", Grace: patience,
		Agents: []Agents{{Count: 3, Handlers: []string{"echo"}}},
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	over := make(chan struct{})
	go func() { defer close(over); ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		srv.CloseClientConnections()
		srv.Close()
		<-over
	})
	return e, stop, ended
}

func ended(t *testing.T, end <-chan error) error {
	t.Helper()
	select {
	case err := <-end:
		return err
	case <-time.After(patience):
		require.Fail(t, "the engine does not end")
		return nil
	}
}

func TestRun_EndsInOrder(t *testing.T) {
	e, stop, end := hosted(t, porter{})
	require.Eventually(t, func() bool { return e.Status().Attached == 3 }, patience, time.Millisecond)
	require.NoError(t, e.ready(t.Context()))
	e.drain()
	require.Eventually(t, func() bool { return e.Status() == Status{Draining: true, Agents: 3} }, patience, time.Millisecond)
	require.NoError(t, e.ready(t.Context()), "drained as it was told")
	e.resume()
	require.Eventually(t, func() bool { return e.Status() == Status{Agents: 3, Attached: 3} }, patience, time.Millisecond)
	stop()
	require.NoError(t, ended(t, end))
	require.Equal(t, Status{Agents: 3}, e.Status())
	require.ErrorContains(t, e.ready(t.Context()), "none of 3 agents is attached at "+e.streams)
}

func TestRun_OneAgentRefusedEndsTheEngine(t *testing.T) {
	_, _, end := hosted(t, porter{never: map[string]bool{"i-2": true}})
	require.ErrorContains(t, ended(t, end), "agent i-2 is refused: refused: invalid_argument: no such capability")
}

func TestRun_NoStreamEverAccepted(t *testing.T) {
	for _, code := range []connect.Code{connect.CodeUnauthenticated, connect.CodePermissionDenied, connect.CodeUnimplemented} {
		_, _, end := hosted(t, porter{shut: connect.NewError(code, errors.New("not here"))})
		require.ErrorContains(t, ended(t, end), "the fleet is refused: "+code.String()+": not here")
	}
}
