package main

import (
	"context"

	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/workflows/maintenance"
)

// start starts WeeklyMaintenance with {}, as the Temporal UI does.
func start(ctx context.Context, c client.Client) (client.WorkflowRun, error) {
	return maintenance.WeeklyMaintenance.Start(ctx, c, maintenance.WeeklyMaintenanceInput{})
}
