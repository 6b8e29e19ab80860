package main

import (
	"context"
	"time"

	"connectrpc.com/connect"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

// stubborn reports results that are worth nothing any more. The balancer records what the
// server says to them.
type stubborn struct {
	rpc hivev1connect.AssignmentServiceClient
}

func newStubborn(url string) *stubborn {
	return &stubborn{rpc: hivev1connect.NewAssignmentServiceClient(newHTTP(), url)}
}

const stubbornMost = 5 * time.Second

// report tells of an execution that was lost. That nobody answers is no matter.
func (s *stubborn) report(agent string, x *hivev1.Execution) {
	ctx, cancel := context.WithTimeout(context.Background(), stubbornMost)
	defer cancel()
	_, _ = s.rpc.Complete(ctx, connect.NewRequest(&hivev1.CompleteRequest{AgentId: agent, Execution: x, Result: []byte("late")}))
}
