package control

import (
	"context"

	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/peer"
	"github.com/leanvibe/hive/workers/assignment/placement"
)

// A Fleet is all replicas, as the one that answers sees them.
type Fleet interface {
	// Replicas answers who lives, by name.
	Replicas() []placement.Replica
	// Owners answers who owns each partition, and who is to by the plan; empty: nobody.
	Owners() (now, planned []string)
	// Look has Replicas and Owners looked up soon.
	Look()
	// Stand orders a replica, or with nil only asks it. An error is a *peer.OrderError, or
	// says that the replica does not answer.
	Stand(ctx context.Context, name string, order *peer.Order) (peer.Standing, error)
	// Snapshot has a partition write its snapshot, whoever owns it.
	Snapshot(ctx context.Context, n int) (out partition.Compaction, changed bool, err error)
}
