package control

import (
	"context"
	"fmt"
	"slices"

	"github.com/leanvibe/hive/workers/assignment/peer"
	"github.com/leanvibe/hive/workflows/runbook"
)

// Hand answers the steps.
type Hand struct{ Fleet Fleet }

// Bind gives each step its hand.
func (h Hand) Bind(r runbook.Registry) {
	runbook.DrainReplica.Bind(r, h.Drain)
	runbook.ResumeReplica.Bind(r, h.Resume)
	runbook.SnapshotPartitions.Bind(r, h.Snapshot)
	runbook.RebalancePartitions.Bind(r, h.Rebalance)
}

// Drain answers runbook.DrainReplica.
func (h Hand) Drain(ctx context.Context, in runbook.OrchestratorInput) (runbook.ReplicaStanding, error) {
	return h.order(ctx, in, true, func(s peer.Standing) bool { return s.Agents == 0 && s.Partitions == 0 })
}

// Resume answers runbook.ResumeReplica.
func (h Hand) Resume(ctx context.Context, in runbook.OrchestratorInput) (runbook.ReplicaStanding, error) {
	return h.order(ctx, in, false, func(peer.Standing) bool { return h.level() })
}

// order gives a replica an order and waits until it is met.
func (h Hand) order(ctx context.Context, in runbook.OrchestratorInput, aside bool, met func(peer.Standing) bool) (runbook.ReplicaStanding, error) {
	var out runbook.ReplicaStanding
	if err := check(in); err != nil {
		return out, err
	}
	defer beating(ctx)()
	which, err := find(h.Fleet.Replicas(), in.Replica)
	if err != nil {
		return out, err
	}
	if aside {
		if err := drainable(h.Fleet.Replicas(), which); err != nil {
			return out, err
		}
	}
	out.Replica = which.Name
	order := &peer.Order{Token: in.Token, Aside: aside}
	out.Met, err = until(ctx, in.Wait(), func() (bool, error) {
		s, err := h.Fleet.Stand(ctx, which.Name, order)
		if err != nil {
			return false, classify(err, "replica "+which.Name)
		}
		order = nil // given; from now on it is only asked
		out.Changed = out.Changed || s.Changed
		out.Draining, out.Agents, out.Partitions = s.Aside, s.Agents, s.Partitions
		h.Fleet.Look()
		return s.Aside == aside && h.heard(which.Name, aside) && met(s), nil
	})
	return out, err
}

// heard tells whether this replica plans with what another one was ordered.
func (h Hand) heard(name string, aside bool) bool {
	for _, r := range h.Fleet.Replicas() {
		if r.Name == name {
			return r.Aside == aside
		}
	}
	return false
}

// level tells whether each partition is where the plan has it.
func (h Hand) level() bool {
	now, planned := h.Fleet.Owners()
	return slices.Equal(now, planned) && !slices.Contains(now, "")
}

// Snapshot answers runbook.SnapshotPartitions: one after the other, because each slows the
// appends of its partition down while it is written.
func (h Hand) Snapshot(ctx context.Context, in runbook.SnapshotInput) (runbook.PartitionSnapshots, error) {
	out := runbook.PartitionSnapshots{Partitions: []runbook.PartitionSnapshot{}}
	if err := check(in); err != nil {
		return out, err
	}
	defer beating(ctx)()
	now, _ := h.Fleet.Owners()
	which := in.Partitions
	if len(which) == 0 {
		for n := range now {
			which = append(which, n)
		}
	}
	for i, n := range which {
		if n >= len(now) {
			return out, runbook.Fail(runbook.Refused, "partitions[%d]: %d is none of this deployment's, 0 to %d", i, n, len(now)-1)
		}
	}
	for _, n := range which {
		done, changed, err := h.Fleet.Snapshot(ctx, n)
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		if err != nil {
			return out, classify(err, fmt.Sprintf("snapshot of partition %d", n))
		}
		out.Partitions = append(out.Partitions, runbook.PartitionSnapshot{
			Partition: n, Changed: changed, Sequence: done.Sequence, Before: done.Before, After: done.After,
		})
	}
	return out, nil
}

// Rebalance answers runbook.RebalancePartitions.
func (h Hand) Rebalance(ctx context.Context, in runbook.RebalanceInput) (runbook.Placement, error) {
	var out runbook.Placement
	if err := check(in); err != nil {
		return out, err
	}
	defer beating(ctx)()
	out.Before, _ = h.Fleet.Owners()
	met, err := until(ctx, in.Wait(), func() (bool, error) {
		h.Fleet.Look()
		return h.level(), nil
	})
	out.After, _ = h.Fleet.Owners()
	out.Met = met
	return out, err
}
