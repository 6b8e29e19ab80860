package authorizer

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/server/common/authorization"
	"google.golang.org/grpc/metadata"
)

func TestPrincipalOfACaller(t *testing.T) {
	p, err := New("ops")
	require.NoError(t, err)
	cases := []struct {
		name       string
		md         metadata.MD
		identity   string
		kind, want string
	}{
		{name: "the user interface proves itself", md: p.Proof(UI), kind: UI, want: "browser"},
		{name: "so does the boot sequence", md: p.Proof(Boot), kind: Boot, want: "hive-temporal"},
		{name: "a proof of another process proves nothing", md: metadata.Pairs(proofHeader, "0123", PrincipalHeader, UI), kind: Client, want: "ui"},
		{name: "an operator by header", md: metadata.Pairs(PrincipalHeader, "hive:alice"), identity: "1@host", kind: "hive", want: "alice"},
		{name: "an operator by identity", identity: "hive:alice", kind: "hive", want: "alice"},
		{name: "the worker", identity: "opsworker", kind: "opsworker", want: "opsworker"},
		{name: "the worker with its host", identity: "opsworker:host-1", kind: "opsworker", want: "host-1"},
		{name: "a claim to be the user interface", identity: "ui:browser", kind: Client, want: "ui:browser"},
		{name: "a claim to be the server", identity: "temporal:internal", kind: Client, want: "temporal:internal"},
		{name: "the SDK's default identity", identity: "4711@host@", kind: Client, want: "4711@host@"},
		{name: "a client that says only its program", md: metadata.Pairs("client-name", "temporal-cli"), kind: Client, want: "temporal-cli"},
		{name: "nothing at all", kind: Client, want: "unnamed"},
		{name: "control characters", identity: "hive:al\nice", kind: "hive", want: "alice"},
		{name: "a very long name", identity: strings.Repeat("x", 500), kind: Client, want: strings.Repeat("x", maxPrincipal)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx := metadata.NewIncomingContext(context.Background(), c.md)
			got, err := p.Authorize(ctx, nil, &authorization.CallTarget{
				Request: &workflowservice.StartWorkflowExecutionRequest{Identity: c.identity},
			})
			require.NoError(t, err)
			require.Equal(t, authorization.DecisionAllow, got.Decision)
			require.Equal(t, c.kind, got.Principal.GetType())
			require.Equal(t, c.want, got.Principal.GetName())
		})
	}
}

func TestTheServersOwnServicesKeepTheirName(t *testing.T) {
	p, err := New("ops")
	require.NoError(t, err)
	claims, err := authorization.NewInternalClaimMapper().GetClaims(nil)
	require.NoError(t, err)
	got, err := p.Authorize(context.Background(), claims, &authorization.CallTarget{})
	require.NoError(t, err)
	require.Equal(t, authorization.InternalPrincipalName, got.Principal.GetName())
}

func TestNobodyDeletesTheRecord(t *testing.T) {
	p, err := New("ops")
	require.NoError(t, err)
	got, err := p.Authorize(context.Background(), nil, &authorization.CallTarget{
		APIName: "/temporal.api.operatorservice.v1.OperatorService/DeleteNamespace",
		Request: &operatorservice.DeleteNamespaceRequest{Namespace: "ops"},
	})
	require.NoError(t, err)
	require.Equal(t, authorization.DecisionDeny, got.Decision)
	require.Contains(t, got.Reason, "ops")
}
