package main

import (
	"context"

	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/workflows/runbook"
)

func start(ctx context.Context, c client.Client) (client.WorkflowRun, error) {
	return c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: "weekly-maintenance", TaskQueue: runbook.TaskQueue, WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, "WeeklyMaintenance", struct{}{})
}
