package maintenance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/leanvibe/hive/workflows/runbook"
)

// controlledWorld is one whose hub answers control steps, as universal-orchestrator does.
func controlledWorld(t *testing.T) *world {
	w := newWorld(t)
	w.policy = func(out *runbook.LoadPolicyOutput) {
		for i := range out.Stack.Services {
			if out.Stack.Services[i].Name == hub {
				out.Stack.Services[i].Control = runbook.ControlAssignment
			}
		}
	}
	return w
}

func (w *world) bindControl(r runbook.Registry) {
	order := func(aside bool) func(context.Context, runbook.OrchestratorInput) (runbook.ReplicaStanding, error) {
		return func(_ context.Context, in runbook.OrchestratorInput) (runbook.ReplicaStanding, error) {
			if err := in.Validate(); err != nil {
				return runbook.ReplicaStanding{}, err
			}
			if w.unpolled {
				return runbook.ReplicaStanding{}, temporal.NewTimeoutError(enums.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
			}
			if err := w.act(map[bool]string{true: "hand over", false: "take again"}[aside], in.Fence, in.Name); err != nil {
				return runbook.ReplicaStanding{}, err
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if slices.Contains(w.upstream, in.Replica+":8082") && aside {
				w.breach("%s handed over while the proxy routes to it", in.Name)
			}
			c := w.containers[strings.Replace(in.Name, "leanvibe-", "id-", 1)]
			if c == nil || c.State != "running" || c.Address != in.Replica {
				return runbook.ReplicaStanding{}, runbook.Fail(runbook.Missing, "nobody of address %s lives", in.Replica)
			}
			changed := w.aside[in.Name] != aside
			w.aside[in.Name] = aside
			return runbook.ReplicaStanding{Changed: changed, Draining: aside, Met: true}, nil
		}
	}
	runbook.DrainReplica.Bind(r, order(true))
	runbook.ResumeReplica.Bind(r, order(false))
	runbook.SnapshotPartitions.Bind(r, func(_ context.Context, in runbook.SnapshotInput) (runbook.PartitionSnapshots, error) {
		return runbook.PartitionSnapshots{}, w.act("snapshot", in.Fence, hub)
	})
	runbook.RebalancePartitions.Bind(r, func(_ context.Context, in runbook.RebalanceInput) (runbook.Placement, error) {
		return runbook.Placement{Met: true}, w.act("rebalance", in.Fence, hub)
	})
}

// done are the numbers of the acts of a kind, in order.
func (w *world) done(what string) (out []int) {
	for i, act := range w.acts {
		if strings.HasPrefix(act, what+" ") {
			out = append(out, i)
		}
	}
	return out
}

func TestControl_AnOldReplicaHandsOverBeforeItsStop(t *testing.T) {
	w := controlledWorld(t)
	report, err := w.run(RollingRestart.Name, RollingRestartInput{Services: []string{hub}})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	handed, stopped := w.done("hand over"), w.done("stop")
	require.Len(t, handed, 2)
	require.Len(t, stopped, 2)
	for i := range handed {
		require.Equal(t, strings.TrimPrefix(w.acts[handed[i]], "hand over "), strings.TrimPrefix(w.acts[stopped[i]], "stop "))
		require.Less(t, handed[i], stopped[i])
	}
	require.Less(t, w.done("snapshot")[0], handed[0])
	require.Greater(t, w.done("rebalance")[0], stopped[1])
	require.Empty(t, w.done("take again"))
	var planned []string
	for _, c := range report.Plan.Changes {
		planned = append(planned, c.Step)
	}
	for _, step := range []string{runbook.SnapshotPartitions.Name, runbook.DrainReplica.Name, runbook.RebalancePartitions.Name} {
		require.Contains(t, planned, step)
	}
}

// A service that does not say that it answers control steps is asked for none: nobody might
// poll their queue.
func TestControl_OnlyWhereThePolicySaysSo(t *testing.T) {
	w := newWorld(t)
	report, err := w.run(RollingRestart.Name, RollingRestartInput{})
	require.NoError(t, err)
	for _, s := range report.Steps {
		require.False(t, strings.HasPrefix(s.Name, "assignment."), s.Name)
	}
}

// Where nobody takes the steps up the roll goes on without: SIGTERM hands over too.
func TestControl_NobodyPolls(t *testing.T) {
	w := controlledWorld(t)
	w.unpolled = true
	report, err := w.run(RollingRestart.Name, RollingRestartInput{Services: []string{hub}})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	found := 0
	for _, f := range report.Findings {
		if strings.Contains(f.What, "was not drained before its stop") {
			found++
		}
	}
	require.Equal(t, 2, found)
}

// Whatever fails, and whenever the run is stopped, no replica is left aside.
func TestControl_EveryActMayFailOrBeTheLast(t *testing.T) {
	input := RollingRestartInput{Services: []string{hub}}
	whole := controlledWorld(t)
	_, err := whole.run(RollingRestart.Name, input)
	require.NoError(t, err)
	for k := 1; k <= len(whole.acts); k++ {
		control := slices.Contains(slices.Concat(whole.done("hand over"), whole.done("snapshot"), whole.done("rebalance")), k-1)
		t.Run(fmt.Sprintf("%02d fails", k), func(t *testing.T) {
			w := controlledWorld(t)
			w.failAt = k
			before := w.picture()
			report, err := w.run(RollingRestart.Name, input)
			switch {
			case control:
				require.NoError(t, err, "SIGTERM hands over too")
				require.NotEmpty(t, report.Findings)
			case report.Outcome == runbook.Failed:
				require.Contains(t, w.acts[k-1], "remove ")
			default:
				require.Equal(t, runbook.Reverted, report.Outcome, report.Reason)
				require.Equal(t, before, w.picture(), "acts: %v", w.acts)
			}
			require.Equal(t, 2, w.serving())
			for name, aside := range w.aside {
				require.False(t, aside, name)
			}
		})
		t.Run(fmt.Sprintf("%02d is the last", k), func(t *testing.T) {
			w := controlledWorld(t)
			before := w.picture()
			report, err := w.run(RollingRestart.Name, input, func(env *testsuite.TestWorkflowEnvironment) {
				w.onAct = func(n int) {
					if n == k {
						env.CancelWorkflow()
					}
				}
			})
			if err != nil && w.tags["reg/hub:2"] != newImage {
				require.Equal(t, runbook.Aborted, report.Outcome, report.Reason)
				require.Equal(t, before, w.picture(), "acts: %v", w.acts)
			}
			require.Equal(t, 2, w.serving())
		})
	}
}

func TestControl_ScalingDownHandsOver(t *testing.T) {
	w := controlledWorld(t)
	report, err := w.run(ScaleService.Name, ScaleServiceInput{Service: hub, Replicas: 1})
	require.NoError(t, err)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	require.Len(t, w.done("hand over"), 1)
	require.Len(t, w.done("rebalance"), 1)
}
