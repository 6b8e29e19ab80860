package assignment

import (
	"context"

	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/peer"
	"github.com/leanvibe/hive/workers/assignment/placement"
	"github.com/leanvibe/hive/workers/assignment/route"
)

// fleet is all replicas as this one sees them; it serves control.Fleet.
type fleet struct{ *service }

// Replicas answers who lives.
func (f fleet) Replicas() []placement.Replica { return f.keeper.Replicas() }

// Owners answers who owns each partition, and who is to.
func (f fleet) Owners() (now, planned []string) { return f.keeper.Owners() }

// Look has them looked up soon.
func (f fleet) Look() { f.keeper.Look() }

// Stand orders or asks a replica, this one or another.
func (f fleet) Stand(ctx context.Context, name string, order *peer.Order) (peer.Standing, error) {
	if name == f.name {
		return f.stand(order)
	}
	address := f.keeper.Address(name)
	if address == "" {
		return peer.Standing{}, &peer.OrderError{Reason: "it has ended"}
	}
	return f.peers(address).Stand(ctx, order)
}

// Snapshot has a partition's owner write its snapshot.
func (f fleet) Snapshot(ctx context.Context, n int) (partition.Compaction, bool, error) {
	type compacted struct {
		partition.Compaction
		changed bool
	}
	out, err := route.Ask(ctx, f.router, n, func(ctx context.Context, o route.Owner) (out compacted, err error) {
		out.Compaction, out.changed, err = o.Snapshot(ctx)
		return out, err
	})
	return out.Compaction, out.changed, err
}
