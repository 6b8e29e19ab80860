package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

// desk is an orchestrator that gives one task to whoever attaches and accepts its result.
type desk struct {
	hivev1connect.UnimplementedAssignmentServiceHandler
	given atomic.Bool
}

func assignment() *hivev1.Assignment {
	return &hivev1.Assignment{Execution: &hivev1.Execution{TaskId: "t", Attempt: 2}, Handler: "echo", Payload: []byte("x")}
}

var accepted = &hivev1.CompleteResponse{Accepted: true, State: hivev1.TaskState_TASK_STATE_COMPLETED}

// Attach gives the task.
func (d *desk) Attach(ctx context.Context, _ *connect.Request[hivev1.AttachRequest], s *connect.ServerStream[hivev1.AttachResponse]) error {
	if err := s.Send(&hivev1.AttachResponse{Event: &hivev1.AttachResponse_Attached{Attached: &hivev1.Attached{Session: "s"}}}); err != nil {
		return err
	}
	if d.given.CompareAndSwap(false, true) {
		if err := s.Send(&hivev1.AttachResponse{Event: &hivev1.AttachResponse_Assignment{Assignment: assignment()}}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// Complete accepts.
func (d *desk) Complete(context.Context, *connect.Request[hivev1.CompleteRequest]) (*connect.Response[hivev1.CompleteResponse], error) {
	return connect.NewResponse(accepted), nil
}

// Heartbeat says that the task is lost.
func (d *desk) Heartbeat(context.Context, *connect.Request[hivev1.HeartbeatRequest]) (*connect.Response[hivev1.HeartbeatResponse], error) {
	return connect.NewResponse(&hivev1.HeartbeatResponse{Lost: []*hivev1.Execution{{TaskId: "t", Attempt: 1}}}), nil
}

// Detach ends nothing: the stream is cut.
func (d *desk) Detach(context.Context, *connect.Request[hivev1.DetachRequest]) (*connect.Response[hivev1.DetachResponse], error) {
	return connect.NewResponse(&hivev1.DetachResponse{}), nil
}

// Work attaches, gives the task, and accepts.
func (d *desk) Work(_ context.Context, s *connect.BidiStream[hivev1.WorkRequest, hivev1.WorkResponse]) error {
	for {
		in, err := s.Receive()
		if err != nil {
			return nil //nolint:nilerr // the agent has gone
		}
		out := &hivev1.WorkResponse{Gone: in.GetDetach()}
		for _, a := range in.GetAttach() {
			out.Attached = append(out.Attached, &hivev1.AgentAttached{AgentId: a.GetAgentId()})
			if d.given.CompareAndSwap(false, true) {
				out.Assignments = append(out.Assignments, &hivev1.AgentAssignments{AgentId: a.GetAgentId(), Assignments: []*hivev1.Assignment{assignment()}})
			}
		}
		for _, r := range in.GetResults() {
			out.Reported = append(out.Reported, &hivev1.Reported{AgentId: r.GetAgentId(), Execution: r.GetExecution(), Outcome: accepted})
		}
		if err := s.Send(out); err != nil {
			return err
		}
	}
}

// serve starts a replica that answers /readyz as ready says.
func serve(t *testing.T, h http.Handler, ready int) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(ready) })
	s := httptest.NewUnstartedServer(mux)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.Listener.Addr().String()
}

// What agents of both kinds are given and report is recorded as it passes.
func TestBalancer_ReadsAlong(t *testing.T) {
	for _, kind := range []string{"single", "fleet"} {
		t.Run(kind, func(t *testing.T) {
			rec := &recorder{}
			b, err := startBalancer(t.Context(), &wire{rec})
			require.NoError(t, err)
			defer b.close()
			path, handler := hivev1connect.NewAssignmentServiceHandler(&desk{})
			mux := http.NewServeMux()
			mux.Handle(path, handler)
			b.set(serve(t, mux, http.StatusOK))

			cfg := client.AgentConfig{ID: "a", Capacity: 1, Handle: func(context.Context, *hivev1.Assignment) ([]byte, error) { return nil, nil }}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			c := client.New(b.url, nil)
			if kind == "single" {
				go func() { _ = c.NewAgent(cfg).Run(ctx) }()
			} else {
				f := c.NewFleet(client.FleetConfig{})
				require.NoError(t, f.Add(cfg))
				go func() { _ = f.Run(ctx) }()
			}
			require.Eventually(t, func() bool {
				all := rec.take()
				return len(all.Given) == 1 && len(all.Reports) == 1 && (kind == "fleet" || len(all.Lost) > 0)
			}, 30*time.Second, 10*time.Millisecond)
			all := rec.take()
			require.Equal(t, "a", all.Given[0].Agent)
			require.Equal(t, 2, all.Given[0].Attempt)
			require.True(t, all.Reports[0].Accepted)
			require.True(t, all.Reports[0].Completed)
			require.Equal(t, "t", all.Reports[0].Task)
		})
	}
}

// Who refuses the connection, answers 503, or is not ready gets nothing that another can do.
func TestBalancer_OtherReplica(t *testing.T) {
	b, err := startBalancer(t.Context(), nil)
	require.NoError(t, err)
	defer b.close()
	const away = "127.0.0.1:1"
	draining := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }), http.StatusOK)
	good := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }), http.StatusOK)
	b.set(away, draining, good)
	require.Eventually(t, func() bool { return b.isUp(good) && b.isUp(draining) }, 30*time.Second, 10*time.Millisecond)
	for range 6 {
		resp, err := http.Post(b.url+"/x", "text/plain", http.NoBody)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusNoContent, resp.StatusCode)
	}
	b.set(draining)
	resp, err := http.Get(b.url + "/x")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
}
