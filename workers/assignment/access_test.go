package assignment

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
	"github.com/leanvibe/hive/migrations/app/apptest"
	"github.com/leanvibe/hive/workers/process"
)

const (
	workerToken   = "worker-token-0123456789"
	clientToken   = "client-token-0123456789"
	operatorToken = "operator-token-0123456789"
)

// startGuarded runs an orchestrator that wants tokens.
func startGuarded(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(file, []byte("agent "+workerToken+" worker\nclient "+clientToken+"\noperator "+operatorToken+"\n"), 0o600))
	return newWorld(t, apptest.Schema(t)).start("guarded", func(cfg *process.Config, _ *Config) { cfg.AccessFile = file }).ready(t).url
}

func TestAccess_GoClientOverEachProtocol(t *testing.T) {
	url := startGuarded(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	submitter := client.New(url, nil, client.WithToken(clientToken))
	agents := client.New(url, nil, client.WithToken(workerToken))
	runAgent(t, agents, client.AgentConfig{ID: "worker-1", Capacity: 1, Capabilities: []string{"echo"}, Handle: echo, Grace: time.Second})
	done, err := submitter.Submit(ctx, &hivev1.Draft{Queue: "q", Handler: "echo", Payload: []byte("x")})
	require.NoError(t, err)
	task, err := submitter.Wait(ctx, done.Task.GetId())
	require.NoError(t, err)
	require.Equal(t, hivev1.TaskState_TASK_STATE_COMPLETED, task.GetState())

	_, err = submitter.Stats(ctx, "")
	require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err))
	require.ErrorContains(t, err, "role client may submit and read tasks and send messages")
	_, err = client.New(url, nil, client.WithToken(operatorToken)).Stats(ctx, "")
	require.NoError(t, err)
	for token, says := range map[string]string{"": "no token", "unknown-0123456789": "not one that this service knows"} {
		_, err = client.New(url, nil, client.WithToken(token)).Get(ctx, done.Task.GetId())
		require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(err))
		require.ErrorContains(t, err, says)
	}
	err = agents.NewAgent(client.AgentConfig{ID: "other", Capacity: 1, Handle: echo}).Run(ctx)
	require.ErrorContains(t, err, `speaks for worker and worker-*, not for "other"`)
	err = submitter.NewAgent(client.AgentConfig{ID: "worker-2", Capacity: 1, Handle: echo}).Run(ctx)
	require.ErrorContains(t, err, "agent worker-2 is refused: permission_denied")

	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	for name, o := range map[string][]connect.ClientOption{
		"gRPC": {connect.WithGRPC()}, "gRPC-Web": {connect.WithGRPCWeb()}, "JSON": {connect.WithProtoJSON()},
	} {
		t.Run(name, func(t *testing.T) {
			c := hivev1connect.NewAssignmentServiceClient(&http.Client{Transport: tr}, url, o...)
			req := connect.NewRequest(&hivev1.StatsRequest{})
			_, err := c.Stats(ctx, req)
			require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(err))
			require.ErrorContains(t, err, "no token")
			req.Header().Set("Authorization", "Bearer "+clientToken)
			_, err = c.Stats(ctx, req)
			require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err))
			require.ErrorContains(t, err, "that is for operator")
			req.Header().Set("Authorization", "Bearer "+operatorToken)
			_, err = c.Stats(ctx, req)
			require.NoError(t, err)
		})
	}
}

func TestAccess_CallsInAnothersName(t *testing.T) {
	url := startGuarded(t)
	c := hivev1connect.NewAssignmentServiceClient(http.DefaultClient, url)
	ctx := t.Context()
	ex := &hivev1.Execution{TaskId: "t", Attempt: 1}
	for name, call := range map[string]func(agent string) error{
		"Heartbeat": func(a string) error { return asWorker(ctx, c.Heartbeat, &hivev1.HeartbeatRequest{AgentId: a}) },
		"Complete": func(a string) error {
			return asWorker(ctx, c.Complete, &hivev1.CompleteRequest{AgentId: a, Execution: ex})
		},
		"Release": func(a string) error { return asWorker(ctx, c.Release, &hivev1.ReleaseRequest{AgentId: a}) },
		"Detach":  func(a string) error { return asWorker(ctx, c.Detach, &hivev1.DetachRequest{AgentId: a}) },
	} {
		require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(call("other")), name)
		require.NotEqual(t, connect.CodePermissionDenied, connect.CodeOf(call("worker")), name)
	}
}

func asWorker[In, Out any](ctx context.Context, do func(context.Context, *connect.Request[In]) (*connect.Response[Out], error), in *In) error {
	req := connect.NewRequest(in)
	req.Header().Set("Authorization", "Bearer "+workerToken)
	_, err := do(ctx, req)
	return err
}

func TestAccess_OversizedMessage(t *testing.T) {
	url := startGuarded(t)
	drafts := make([]*hivev1.Draft, 33)
	for i := range drafts {
		drafts[i] = &hivev1.Draft{Queue: "q", Handler: "echo", Payload: make([]byte, 256<<10)}
	}
	submitter := client.New(url, nil, client.WithToken(clientToken))
	_, err := submitter.SubmitBatch(t.Context(), drafts)
	require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err), "%v", err)
	_, err = submitter.SubmitBatch(t.Context(), drafts[:31])
	require.NoError(t, err)
}

// A stream that speaks for an agent of somebody else is refused as a whole, whatever it says of it.
func TestAccess_WorkInAnothersName(t *testing.T) {
	url := startGuarded(t)
	c := hivev1connect.NewAssignmentServiceClient(&http.Client{Transport: client.NewStreamTransport()}, url, connect.WithGRPC())
	ex := []*hivev1.Execution{{TaskId: "0193563d-0000-7000-8000-000000000000", Attempt: 1}}
	for name, frame := range map[string]*hivev1.WorkRequest{
		"attach":    {Attach: []*hivev1.AttachRequest{{AgentId: "worker-1", Capacity: 1}, {AgentId: "other", Capacity: 1}}},
		"heartbeat": {Heartbeats: []*hivev1.HeartbeatRequest{{AgentId: "other", Held: ex}}},
		"result":    {Results: []*hivev1.CompleteRequest{{AgentId: "other", Execution: ex[0]}}},
		"release":   {Releases: []*hivev1.ReleaseRequest{{AgentId: "other", Executions: ex}}},
	} {
		t.Run(name, func(t *testing.T) {
			stream := c.Work(t.Context())
			stream.RequestHeader().Set("Authorization", "Bearer "+workerToken)
			require.NoError(t, stream.Send(frame))
			var err error
			for err == nil {
				_, err = stream.Receive()
			}
			require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err), "%v", err)
			require.ErrorContains(t, err, `"other"`)
		})
	}
	submits := c.SubmitStream(t.Context())
	submits.RequestHeader().Set("Authorization", "Bearer "+workerToken)
	_ = submits.Send(&hivev1.SubmitStreamRequest{}) // the refusal may be there first
	_, err := submits.Receive()
	require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err), "%v", err)
}
