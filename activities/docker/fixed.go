package docker

import (
	"context"

	"github.com/compose-spec/compose-go/v2/types"
)

// FixedAddress gives out the next free address of the replica range for a replica
// that hive up creates; CreateReplica takes its own.
func (h Hand) FixedAddress(ctx context.Context, project *types.Project, svc types.ServiceConfig, replicas string) (string, error) {
	return h.nextAddress(ctx, project, svc, replicas)
}
