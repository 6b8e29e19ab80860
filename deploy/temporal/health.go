package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

const frontendHealth = "temporal.api.workflowservice.v1.WorkflowService"

// checkHealth asks a running server from outside, as a client and a browser would.
func checkHealth(ctx context.Context, s *settings, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := dial(s)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return errors.Join(serverHealth(ctx, conn, s), pageHealth(ctx, "http://"+s.address(s.uiPort)+"/api/v1/settings"))
}

func dial(s *settings, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(s.address(s.port), append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", s.address(s.port), err)
	}
	return conn, nil
}

// serverHealth asks the server's own health service, then for the namespace, which needs the database.
func serverHealth(ctx context.Context, conn *grpc.ClientConn, s *settings) error {
	answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: frontendHealth})
	if err != nil {
		return fmt.Errorf("temporal server at %s: %w", s.address(s.port), err)
	}
	if answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("temporal server at %s says %s", s.address(s.port), answer.GetStatus())
	}
	if _, err := workflowservice.NewWorkflowServiceClient(conn).DescribeNamespace(ctx,
		&workflowservice.DescribeNamespaceRequest{Namespace: s.namespace}); err != nil {
		return fmt.Errorf("namespace %q: %w", s.namespace, err)
	}
	return nil
}

func pageHealth(ctx context.Context, page string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return fmt.Errorf("user interface: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("user interface: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("user interface: %s says %s", page, response.Status)
	}
	return nil
}
