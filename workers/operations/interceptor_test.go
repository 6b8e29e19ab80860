package operations

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/leanvibe/hive/workflows/runbook"
)

type turnInput struct {
	runbook.Fence
	Fail string `json:"fail"`
}

type plainInput struct{}

var (
	turn = runbook.Step[turnInput, runbook.Changed]{Name: "tests.Turn", Effect: runbook.Write}
	look = runbook.Step[turnInput, runbook.Changed]{Name: "tests.Look"}
	tell = runbook.Step[plainInput, runbook.Changed]{Name: "tests.Tell", Effect: runbook.Irreversible}
)

// acts is an environment whose steps stand behind the interceptor.
type acts struct {
	*testsuite.TestActivityEnvironment
	steps    *steps
	registry *prometheus.Registry
}

func newActs(act func(context.Context, turnInput) (runbook.Changed, error)) acts {
	var suite testsuite.WorkflowTestSuite
	registry := prometheus.NewRegistry()
	a := acts{suite.NewTestActivityEnvironment(), newSteps(registry, newGate()), registry}
	a.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{a.steps}})
	a.steps.know(turn.Name, turn.Effect)
	turn.Bind(a, act)
	a.steps.know(look.Name, look.Effect)
	look.Bind(a, act)
	a.steps.know(tell.Name, tell.Effect)
	tell.Bind(a, func(context.Context, plainInput) (runbook.Changed, error) { return runbook.Changed{Changed: true}, nil })
	return a
}

func done(context.Context, turnInput) (runbook.Changed, error) {
	return runbook.Changed{Changed: true}, nil
}

func TestAWriteNeedsTheNewestLock(t *testing.T) {
	a := newActs(done)
	_, err := a.ExecuteActivity(turn.Name, turnInput{Fence: runbook.Fence{Resource: "proxy"}})
	require.Equal(t, runbook.Refused, runbook.KindOf(err), "a write without a token: %v", err)
	_, err = a.ExecuteActivity(turn.Name, turnInput{Fence: fence("proxy", 2)})
	require.NoError(t, err)
	_, err = a.ExecuteActivity(turn.Name, turnInput{Fence: fence("proxy", 1)})
	require.Equal(t, runbook.Refused, runbook.KindOf(err), "a write under a lost lock: %v", err)
	require.Equal(t, map[string]float64{
		"hive_step_failures_total{kind=Refused,step=tests.Turn}": 2,
		"hive_step_duration_seconds{step=tests.Turn}":            1, // what did not pass the gate took no time
	}, gathered(t, a.registry))
}

func TestWhatNeedsNoLockPasses(t *testing.T) {
	a := newActs(done)
	_, err := a.ExecuteActivity(look.Name, turnInput{})
	require.NoError(t, err, "a read may carry a fence and needs none")
	_, err = a.ExecuteActivity(tell.Name, plainInput{})
	require.NoError(t, err, "a write whose input has no fence is nobody's resource")
}

func TestFailuresAreCountedByKind(t *testing.T) {
	a := newActs(func(_ context.Context, in turnInput) (runbook.Changed, error) {
		switch in.Fail {
		case "canceled":
			return runbook.Changed{}, context.Canceled
		case "":
			return runbook.Changed{}, errors.New("nobody classified this")
		}
		return runbook.Changed{}, runbook.Fail(runbook.Kind(in.Fail), "as asked")
	})
	for _, c := range []struct{ fail, label string }{
		{"Busy", "Busy"}, {"Unsafe", "Unsafe"}, {"canceled", "canceled"}, {"", "unclassified"},
	} {
		_, err := a.ExecuteActivity(turn.Name, turnInput{Fence: fence("proxy", 1), Fail: c.fail})
		require.Error(t, err)
		require.InDelta(t, 1, gathered(t, a.registry)["hive_step_failures_total{kind="+c.label+",step=tests.Turn}"], 0, c.label)
	}
	leave, err := a.steps.gate.Enter(t.Context(), fence("proxy", 2))
	require.NoError(t, err, "an act that failed has left")
	leave()
}

func TestAnActThatPanicsHasLeft(t *testing.T) {
	a := newActs(func(context.Context, turnInput) (runbook.Changed, error) { panic("as asked") })
	_, err := a.ExecuteActivity(turn.Name, turnInput{Fence: fence("proxy", 1)})
	require.Error(t, err)
	require.InDelta(t, 1, gathered(t, a.registry)["hive_step_failures_total{kind=unclassified,step=tests.Turn}"], 0)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	leave, err := a.steps.gate.Enter(ctx, fence("proxy", 1))
	require.NoError(t, err)
	leave()
}

// TestWaitingAtTheGateHeartbeats: who waits longer than the heartbeat timeout must
// not be taken for dead, nor wipe out what its predecessor left in its heartbeat.
func TestWaitingAtTheGateHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newActs(done)
		a.SetHeartbeatDetails("what the first attempt saw")
		var beats []string
		a.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
			var said string
			if details.Get(&said) == nil {
				beats = append(beats, said)
			}
		})
		leave, err := a.steps.gate.Enter(t.Context(), fence("proxy", 1))
		require.NoError(t, err)
		time.AfterFunc(15*time.Second, leave)
		start := time.Now()
		_, err = a.ExecuteActivity(turn.Name, turnInput{Fence: fence("proxy", 2)})
		require.NoError(t, err)
		require.Equal(t, 15*time.Second, time.Since(start))
		require.NotEmpty(t, beats)
		for _, said := range beats {
			require.Equal(t, "what the first attempt saw", said)
		}
	})
}
