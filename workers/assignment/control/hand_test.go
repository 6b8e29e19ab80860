package control

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"

	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/peer"
	"github.com/leanvibe/hive/workers/assignment/placement"
	"github.com/leanvibe/hive/workflows/runbook"
)

// fake is a fleet in memory.
type fake struct {
	replicas     []placement.Replica
	now, planned []string
	orders       []peer.Order
	standing     peer.Standing
	err          error
}

func (f *fake) Replicas() []placement.Replica   { return f.replicas }
func (f *fake) Owners() (now, planned []string) { return f.now, f.planned }
func (f *fake) Look()                           {}
func (f *fake) Stand(_ context.Context, _ string, o *peer.Order) (peer.Standing, error) {
	if o != nil {
		f.orders = append(f.orders, *o)
	}
	return f.standing, f.err
}

func (f *fake) Snapshot(context.Context, int) (partition.Compaction, bool, error) {
	return partition.Compaction{}, false, f.err
}

var fence = runbook.Fence{Resource: "service:universal-orchestrator", Token: "7"}

func TestFind(t *testing.T) {
	all := []placement.Replica{
		{Name: "a1#11", Address: "10.0.0.1:8091"}, {Name: "a2#22", Address: "10.0.0.2:8091"}, {Name: "a2#33", Address: "10.0.0.3:8091"},
	}
	for means, want := range map[string]string{"a1": "a1#11", "a1#11": "a1#11", "10.0.0.2": "a2#22", "10.0.0.3:8091": "a2#33", "a2#22": "a2#22"} {
		got, err := find(all, means)
		require.NoError(t, err)
		require.Equal(t, want, got.Name)
	}
	_, err := find(all, "a2")
	require.Equal(t, runbook.Busy, runbook.KindOf(err), "one of the two may have died: %v", err)
	_, err = find(all, "a")
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
	require.ErrorContains(t, err, "a1#11 at 10.0.0.1:8091")
	_, err = find(nil, "a")
	require.Equal(t, runbook.Busy, runbook.KindOf(err), "a replica that has just started has heard of nobody: %v", err)
}

func TestDrainable(t *testing.T) {
	for name, c := range map[string]struct {
		other, self placement.Replica
		want        runbook.Kind
	}{
		"another takes them":       {placement.Replica{Name: "b"}, placement.Replica{Name: "a"}, ""},
		"the other stands aside":   {placement.Replica{Name: "b", Aside: true}, placement.Replica{Name: "a"}, runbook.Unsafe},
		"it stands aside already":  {placement.Replica{Name: "b"}, placement.Replica{Name: "a", Aside: true}, ""},
		"both stand aside already": {placement.Replica{Name: "b", Aside: true}, placement.Replica{Name: "a", Aside: true}, ""},
		"nobody else lives at all": {placement.Replica{Name: "a"}, placement.Replica{Name: "a"}, runbook.Unsafe},
		"alone, and aside before":  {placement.Replica{Name: "a", Aside: true}, placement.Replica{Name: "a", Aside: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, runbook.KindOf(drainable([]placement.Replica{c.other, c.self}, c.self)))
		})
	}
}

// What cannot be meant is refused before anybody is asked.
func TestRefusedEarly(t *testing.T) {
	f := &fake{replicas: []placement.Replica{{Name: "a#1"}, {Name: "b#1"}}, now: []string{"a#1"}}
	h := Hand{f}
	for name, do := range map[string]func() error{
		"no fence": func() error {
			_, err := h.Drain(t.Context(), runbook.OrchestratorInput{Replica: "a"})
			return err
		},
		"no replica": func() error {
			_, err := h.Resume(t.Context(), runbook.OrchestratorInput{Fence: fence})
			return err
		},
		"too long": func() error {
			_, err := h.Rebalance(t.Context(), runbook.RebalanceInput{Fence: fence, Deadline: runbook.Duration(time.Hour)})
			return err
		},
		"a partition too many": func() error {
			_, err := h.Snapshot(t.Context(), runbook.SnapshotInput{Fence: fence, Partitions: []int{1}})
			return err
		},
		"a partition twice": func() error {
			_, err := h.Snapshot(t.Context(), runbook.SnapshotInput{Fence: fence, Partitions: []int{0, 0}})
			return err
		},
		"a partition below": func() error {
			_, err := h.Snapshot(t.Context(), runbook.SnapshotInput{Fence: fence, Partitions: []int{-1}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, runbook.Refused, runbook.KindOf(do())) })
	}
	require.Empty(t, f.orders)
}

// An order is given once; what is left at the deadline is an answer.
func TestOrderedOnce(t *testing.T) {
	f := &fake{replicas: []placement.Replica{{Name: "a#1", Aside: true}, {Name: "b#1"}}, standing: peer.Standing{Aside: true, Changed: true, Agents: 1}}
	got, err := Hand{f}.Drain(t.Context(), runbook.OrchestratorInput{Fence: fence, Replica: "a", Deadline: runbook.Duration(3 * lookEvery)})
	require.NoError(t, err)
	require.Equal(t, runbook.ReplicaStanding{Changed: true, Replica: "a#1", Draining: true, Agents: 1}, got)
	require.Equal(t, []peer.Order{{Token: "7", Aside: true}}, f.orders)
}

func TestKinds(t *testing.T) {
	for want, err := range map[runbook.Kind]error{
		runbook.Refused:     &peer.OrderError{Reason: "it stops"},
		runbook.Busy:        &partition.BusyError{Reason: "moving"},
		runbook.Unreachable: errors.New("connection refused"),
	} {
		require.Equal(t, want, runbook.KindOf(classify(err, "replica a")))
	}
	require.NoError(t, classify(nil, ""))
}

// names of registered steps.
type registry []string

func (r *registry) RegisterActivityWithOptions(_ any, o activity.RegisterOptions) {
	*r = append(*r, o.Name)
}

func TestEveryStepHasItsHand(t *testing.T) {
	var bound registry
	Hand{}.Bind(&bound)
	require.ElementsMatch(t, registry{
		runbook.DrainReplica.Name, runbook.ResumeReplica.Name, runbook.SnapshotPartitions.Name, runbook.RebalancePartitions.Name,
	}, bound)
}

func TestFromEnv(t *testing.T) {
	t.Setenv("TEMPORAL_NAMESPACE", "")
	t.Setenv("TEMPORAL_ADDRESS", "")
	c, err := FromEnv()
	require.NoError(t, err)
	require.Empty(t, c.Temporal)
	t.Setenv("TEMPORAL_ADDRESS", "temporal")
	_, err = FromEnv()
	require.ErrorContains(t, err, `TEMPORAL_ADDRESS is "temporal"`)
	t.Setenv("TEMPORAL_ADDRESS", "temporal:7233")
	c, err = FromEnv()
	require.NoError(t, err)
	require.Equal(t, Config{Temporal: "temporal:7233", Namespace: "ops"}, c)
}
