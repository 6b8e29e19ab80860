package kill

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
)

// accepting says from the nth question on that the reply was taken.
type accepting struct{ after, asked int }

func (a *accepting) Accepted(context.Context, Meeting) (bool, error) {
	a.asked++
	return a.asked >= a.after, nil
}

func order(point Point, victim Victim) Order {
	return Order{Procedure: "Roll", Step: "containers.Create", Nth: 2, Point: point, Victim: victim}
}

func meeting(act string, attempt int32, done bool) Meeting {
	return Meeting{Procedure: "Roll", Step: "containers.Create", Workflow: "roll", Run: "1", Activity: act, Attempt: attempt, Done: done}
}

func TestAnOrderIsCarriedOutOnceAtItsPoint(t *testing.T) {
	for _, c := range []struct {
		point Point
		done  bool
	}{{Before, false}, {Effect, true}} {
		r := &Referee{}
		r.Arm([]Order{order(c.point, OpsWorker)})
		require.False(t, r.meet(t.Context(), meeting("a", 1, c.done)), "the first act is not the second")
		require.False(t, r.meet(t.Context(), meeting("a", 2, c.done)), "another attempt is the same act")
		require.False(t, r.meet(t.Context(), meeting("b", 1, !c.done)), "not the point")
		require.True(t, r.meet(t.Context(), meeting("b", 1, c.done)))
		require.False(t, r.meet(t.Context(), meeting("b", 2, c.done)), "the retry must live")
		taken, err := r.Taken()
		require.NoError(t, err)
		require.Equal(t, []Order{order(c.point, OpsWorker)}, taken)
	}
}

func TestAnotherVictimIsDeadBeforeTheStepGoesOn(t *testing.T) {
	var dead []Victim
	r := &Referee{Kill: func(_ context.Context, v Victim) error { dead = append(dead, v); return nil }}
	r.Arm([]Order{order(Before, Temporal)})
	r.meet(t.Context(), meeting("a", 1, false))
	require.Empty(t, dead)
	require.False(t, r.meet(t.Context(), meeting("b", 1, false)), "who asked lives")
	require.Equal(t, []Victim{Temporal}, dead)
}

func TestAfterMeansThatTheReplyWasTaken(t *testing.T) {
	asked := &accepting{after: 3}
	var dead atomic.Int32
	r := &Referee{Server: asked, Kill: func(context.Context, Victim) error { dead.Store(int32(asked.asked)); return nil }}
	r.Arm([]Order{order(After, OpsWorker)})
	r.meet(t.Context(), meeting("a", 1, true))
	require.False(t, r.meet(t.Context(), meeting("b", 1, true)))
	taken, err := r.Taken() // waits for the kill
	require.NoError(t, err)
	require.Len(t, taken, 1)
	require.EqualValues(t, 3, dead.Load())
}

func TestAnOrderThatWasNotMetIsNotTaken(t *testing.T) {
	r := &Referee{}
	r.Arm([]Order{order(Before, OpsWorker)})
	r.meet(t.Context(), meeting("a", 1, false))
	taken, err := r.Taken()
	require.NoError(t, err)
	require.Empty(t, taken)
}

// The interceptor around a real act: it asks on both sides of it, over the socket.
func TestTheInterceptorAsksBeforeAndAfterTheAct(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	var at []string
	r := &Referee{Kill: func(_ context.Context, v Victim) error { at = append(at, string(v)); return nil }}
	require.NoError(t, r.Serve(t.Context(), socket))
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{New(socket)}})
	env.RegisterActivityWithOptions(func(context.Context) error { at = append(at, "act"); return nil }, activity.RegisterOptions{Name: "containers.Create"})
	_, err := env.ExecuteActivity("containers.Create")
	require.NoError(t, err)
	require.Len(t, r.nth, 1, "it was met")
	procedure := ""
	for kind := range r.nth {
		procedure, _, _ = strings.Cut(kind, " ")
	}
	met := Order{Procedure: procedure, Step: "containers.Create", Nth: 1, Victim: Temporal}
	for _, c := range []struct {
		point Point
		want  []string
	}{{Before, []string{"temporal", "act"}}, {Effect, []string{"act", "temporal"}}} {
		at = nil
		met.Point = c.point
		r.Arm([]Order{met})
		_, err := env.ExecuteActivity("containers.Create")
		require.NoError(t, err)
		taken, err := r.Taken()
		require.NoError(t, err)
		require.Len(t, taken, 1, "%s", c.point)
		require.Equal(t, c.want, at)
	}
}

func TestWithoutARefereeNothingIsDone(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{New(filepath.Join(t.TempDir(), "nobody"))}})
	env.RegisterActivityWithOptions(func(context.Context) error { t.Error("it was done"); return nil }, activity.RegisterOptions{Name: "x"})
	_, err := env.ExecuteActivity("x")
	require.ErrorContains(t, err, "referee does not answer")
}
