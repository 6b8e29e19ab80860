package client

import (
	"context"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

// late is a server that tells a task's first attempt after its second: two owners of a
// partition may follow one another so.
type late struct {
	hivev1connect.UnimplementedAssignmentServiceHandler
	results chan *hivev1.Execution
	left    chan struct{}
}

var toldLate = []*hivev1.Execution{{TaskId: "task", Attempt: 2}, {TaskId: "task", Attempt: 1}, {TaskId: "last", Attempt: 1}}

// Work tells a fleet.
func (l *late) Work(_ context.Context, stream *connect.BidiStream[hivev1.WorkRequest, hivev1.WorkResponse]) error {
	for {
		m, err := stream.Receive()
		if err != nil {
			return nil //nolint:nilerr // the client has no more
		}
		r := &hivev1.WorkResponse{Gone: m.GetDetach()}
		for _, a := range m.GetAttach() {
			r.Attached = append(r.Attached, &hivev1.AgentAttached{AgentId: a.GetAgentId()})
			for _, x := range toldLate {
				r.Assignments = append(r.Assignments, &hivev1.AgentAssignments{AgentId: a.GetAgentId(), Assignments: []*hivev1.Assignment{{Execution: x}}})
			}
		}
		for _, c := range m.GetResults() {
			l.results <- c.GetExecution()
			r.Reported = append(r.Reported, &hivev1.Reported{
				AgentId: c.GetAgentId(), Execution: c.GetExecution(), Outcome: &hivev1.CompleteResponse{Accepted: true},
			})
		}
		if err := stream.Send(r); err != nil {
			return err
		}
	}
}

// Attach tells one agent.
func (l *late) Attach(ctx context.Context, _ *connect.Request[hivev1.AttachRequest], stream *connect.ServerStream[hivev1.AttachResponse]) error {
	if err := stream.Send(&hivev1.AttachResponse{Event: &hivev1.AttachResponse_Attached{Attached: &hivev1.Attached{Session: "s", Lease: durationpb.New(patience)}}}); err != nil {
		return err
	}
	for _, x := range toldLate {
		if err := stream.Send(&hivev1.AttachResponse{Event: &hivev1.AttachResponse_Assignment{Assignment: &hivev1.Assignment{Execution: x}}}); err != nil {
			return err
		}
	}
	select {
	case <-l.left:
	case <-ctx.Done():
	}
	return nil
}

// Detach ends the agent's stream.
func (l *late) Detach(context.Context, *connect.Request[hivev1.DetachRequest]) (*connect.Response[hivev1.DetachResponse], error) {
	close(l.left)
	return connect.NewResponse(&hivev1.DetachResponse{}), nil
}

// Complete takes one agent's result.
func (l *late) Complete(_ context.Context, r *connect.Request[hivev1.CompleteRequest]) (*connect.Response[hivev1.CompleteResponse], error) {
	l.results <- r.Msg.GetExecution()
	return connect.NewResponse(&hivev1.CompleteResponse{Accepted: true}), nil
}

// An attempt that is told after a later one of the same task takes nobody's place.
func TestAnOlderAttemptIsLate(t *testing.T) {
	for name, run := range map[string]func(context.Context, *Client, AgentConfig) error{
		"agent": func(ctx context.Context, c *Client, cfg AgentConfig) error { return c.NewAgent(cfg).Run(ctx) },
		"fleet": func(ctx context.Context, c *Client, cfg AgentConfig) error {
			f := c.NewFleet(FleetConfig{Log: silent})
			if err := f.Add(cfg); err != nil {
				return err
			}
			return f.Run(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &late{results: make(chan *hivev1.Execution, len(toldLate)), left: make(chan struct{})}
			last := make(chan struct{})
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- run(ctx, serve(t, l), AgentConfig{
					ID: "a", Capacity: 2, Log: silent, Grace: patience,
					Handle: func(ctx context.Context, as *hivev1.Assignment) ([]byte, error) {
						if as.GetExecution().GetTaskId() == "last" {
							close(last)
							return nil, nil
						}
						select { // "last" is told after everything
						case <-last:
						case <-ctx.Done():
						}
						return nil, ctx.Err()
					},
				})
			}()
			done := []string{nameOf(within(t, l.results)), nameOf(within(t, l.results))}
			require.ElementsMatch(t, []string{"task/2", "last/1"}, done)
			stop()
			require.NoError(t, within(t, ended))
			require.Empty(t, l.results, "the first attempt was executed too")
		})
	}
}
