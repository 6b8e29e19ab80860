package runbook

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlanHash(t *testing.T) {
	roll := Change{Step: "containers.CreateReplica", Target: "hub-1", What: "hub to sha256:aa", Effect: "write", Reason: "p99 12 ms"}
	base := NewPlan("policy-1", []Change{roll})

	measured := roll
	measured.Reason = "p99 99 ms"
	require.Equal(t, base.Hash, NewPlan("policy-1", []Change{measured}).Hash, "measurements are not part of a plan's identity")

	digest := roll
	digest.What = "hub to sha256:bb"
	for name, other := range map[string]Plan{
		"another digest": NewPlan("policy-1", []Change{digest}),
		"another policy": NewPlan("policy-2", []Change{roll}),
		"no change":      NewPlan("policy-1", nil),
		"twice":          NewPlan("policy-1", []Change{roll, roll}),
	} {
		require.NotEqual(t, base.Hash, other.Hash, name)
	}
}
