package assignment

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/control"
	"github.com/leanvibe/hive/workers/redistest"
	"github.com/leanvibe/hive/workflows/runbook"
)

// askPause is the pause between two looks at a condition.
const askPause = 20 * time.Millisecond

// fenceOf is the lock of the test's nth run: later ones are greater.
func fenceOf(n int) runbook.Fence {
	return runbook.Fence{Resource: "service:universal-orchestrator", Token: fmt.Sprintf("%08d", n)}
}

// hand answers steps as this replica's worker does.
func (r *replica) hand() control.Hand { return control.Hand{Fleet: fleet{r.service}} }

// orders names a replica under a run's lock.
func orders(run int, replica string) runbook.OrchestratorInput {
	return runbook.OrchestratorInput{Fence: fenceOf(run), Replica: replica, Deadline: runbook.ControlMost}
}

func (r *replica) readiness(t *testing.T) int {
	t.Helper()
	resp, err := http.Get(r.url + "/readyz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// knows waits until a replica has heard of so many, itself among them.
func (r *replica) knows(t *testing.T, replicas int) {
	t.Helper()
	require.Eventually(t, func() bool { return len(r.service.keeper.Replicas()) == replicas }, patience, askPause)
}

// load submits one task after the other until it is stopped, and then sees each of them
// completed once, and nothing lost on the way.
type load struct {
	client *client.Client
	stop   chan struct{}
	done   sync.WaitGroup
	ids    []string
	failed error
}

func begin(ctx context.Context, c *client.Client) *load {
	l := &load{client: c, stop: make(chan struct{})}
	l.done.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-l.stop:
				return
			default:
			}
			s, err := c.Submit(ctx, &hivev1.Draft{Queue: fmt.Sprint("load", n%9), Handler: "echo", Capabilities: []string{"echo"}, Payload: fmt.Append(nil, n)})
			if err != nil {
				l.failed = err
				return
			}
			l.ids = append(l.ids, s.Task.GetId())
		}
	})
	return l
}

func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.done.Wait()
	require.NoError(t, l.failed)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n, id := range l.ids {
		task, err := l.client.Wait(ctx, id)
		require.NoError(t, err)
		require.Equal(t, hivev1.TaskState_TASK_STATE_COMPLETED, task.GetState())
		require.Equal(t, fmt.Sprint(n), string(task.GetResult()))
	}
	stats, err := l.client.Stats(ctx, "")
	require.NoError(t, err)
	require.EqualValues(t, len(l.ids), stats.GetTotal().GetSubmitted())
	require.EqualValues(t, len(l.ids), stats.GetTotal().GetCompleted())
	require.Zero(t, stats.GetTotal().GetLostAttempts())
	require.Zero(t, stats.GetTotal().GetFailedAttempts())
}

// A replica is drained under load, answers calls all the while, and is brought back. Any
// replica does it for any.
func TestControl_DrainAndResumeUnderLoad(t *testing.T) {
	w := newWorld(t, away)
	one, two, three := w.start("one").ready(t), w.start("two").ready(t), w.start("three").ready(t)
	var lb balancer
	lb.set(one, two, three)
	c := client.New("http://proxy", &http.Client{Transport: &lb})
	one.knows(t, 3)
	level, err := one.hand().Rebalance(t.Context(), runbook.RebalanceInput{Fence: fenceOf(1), Deadline: runbook.ControlMost})
	require.NoError(t, err)
	require.True(t, level.Met)
	require.True(t, owns(level.After, "two"))
	for i := range 6 {
		runAgent(t, c, client.AgentConfig{ID: fmt.Sprint("agent", i), Capacity: 4, Capabilities: []string{"echo"}, Handle: echo})
	}
	require.Eventually(t, func() bool {
		return one.service.home.Attached()+two.service.home.Attached()+three.service.home.Attached() == 6
	}, patience, askPause)
	l := begin(t.Context(), c)

	drained, err := one.hand().Drain(t.Context(), orders(2, "two"))
	require.NoError(t, err)
	require.True(t, drained.Changed)
	require.Equal(t, two.service.name, drained.Replica)
	drained.Changed, drained.Replica = false, ""
	require.Equal(t, runbook.ReplicaStanding{Draining: true, Met: true}, drained)
	require.Equal(t, http.StatusServiceUnavailable, two.readiness(t))
	for _, r := range []*replica{one, three} {
		require.Eventually(t, func() bool {
			now, planned := r.service.keeper.Owners()
			return !owns(now, "two") && slices.Equal(now, planned)
		}, patience, askPause)
	}

	store := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{redistest.Addr(t)}})
	defer store.Close()
	old, err := store.HKeys(t.Context(), "{replicas}:addresses").Result()
	require.NoError(t, err)
	require.ElementsMatch(t, []string{one.service.name, three.service.name}, old, "whom a replica of an older version plans for")

	// Calls are still served there, and a repeat, at another replica, finds it done.
	_, err = client.New(two.url, nil).Stats(t.Context(), "")
	require.NoError(t, err)
	again, err := two.hand().Drain(t.Context(), orders(3, two.service.name))
	require.NoError(t, err)
	require.False(t, again.Changed)
	require.True(t, again.Met)
	_, err = three.hand().Resume(t.Context(), orders(1, "two"))
	require.Equal(t, runbook.Refused, runbook.KindOf(err), "of a run that has lost its lock: %v", err)

	back, err := three.hand().Resume(t.Context(), orders(4, "two"))
	require.NoError(t, err)
	require.True(t, back.Changed)
	require.False(t, back.Draining)
	require.True(t, back.Met)
	require.Eventually(t, func() bool { return two.readiness(t) == http.StatusOK }, patience, askPause)
	require.Positive(t, two.service.keeper.Owned())
	back, err = one.hand().Resume(t.Context(), orders(4, "two"))
	require.NoError(t, err)
	require.False(t, back.Changed)
	l.end(t)
}

// owns tells whether a replica of that instance owns a partition.
func owns(owners []string, instance string) bool {
	return slices.ContainsFunc(owners, func(name string) bool { return strings.HasPrefix(name, instance+"#") })
}

// The last replica that takes partitions is not drained, and one that nobody knows neither.
func TestControl_Refusals(t *testing.T) {
	w := newWorld(t, away)
	one, two := w.start("one").ready(t), w.start("two").ready(t)
	one.knows(t, 2)
	_, err := one.hand().Drain(t.Context(), orders(1, "three"))
	require.Equal(t, runbook.Missing, runbook.KindOf(err), "%v", err)
	require.ErrorContains(t, err, two.service.name)
	_, err = one.hand().Drain(t.Context(), orders(1, "two"))
	require.NoError(t, err)
	_, err = one.hand().Drain(t.Context(), orders(1, "one"))
	require.Equal(t, runbook.Unsafe, runbook.KindOf(err), "%v", err)
	_, err = one.hand().Snapshot(t.Context(), runbook.SnapshotInput{Fence: fenceOf(1), Partitions: []int{testPartitions}})
	require.Equal(t, runbook.Refused, runbook.KindOf(err), "%v", err)
	two.end(t)
	_, err = one.hand().Resume(t.Context(), orders(2, "two"))
	require.Equal(t, runbook.Missing, runbook.KindOf(err), "its process has ended: %v", err)
}

// A snapshot trims the log, at whichever replica its partition is, and the next owners have
// everything from it.
func TestControl_Snapshot(t *testing.T) {
	w := newWorld(t, away)
	one, two := w.start("one").ready(t), w.start("two").ready(t)
	one.knows(t, 2)
	_, err := one.hand().Rebalance(t.Context(), runbook.RebalanceInput{Fence: fenceOf(1), Deadline: runbook.ControlMost})
	require.NoError(t, err)
	c := client.New(one.url, nil)
	var ids []string
	for n := range 200 {
		s, err := c.Submit(t.Context(), &hivev1.Draft{Queue: fmt.Sprint("queue", n%20), Handler: "echo", Payload: fmt.Append(nil, n)})
		require.NoError(t, err)
		ids = append(ids, s.Task.GetId())
	}
	store := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{redistest.Addr(t)}})
	defer store.Close()
	log := func(n int) (entries int64) {
		entries, err := store.XLen(t.Context(), fmt.Sprintf("{p%d}:log", n)).Result()
		require.NoError(t, err)
		return entries
	}
	before := make([]int64, testPartitions)
	for n := range before {
		before[n] = log(n)
	}
	done, err := one.hand().Snapshot(t.Context(), runbook.SnapshotInput{Fence: fenceOf(2)})
	require.NoError(t, err)
	require.True(t, done.DidChange())
	require.Len(t, done.Partitions, testPartitions)
	for n, p := range done.Partitions {
		require.Equal(t, n, p.Partition)
		require.True(t, p.Changed)
		require.Positive(t, p.Sequence)
		require.Greater(t, p.Before, p.After)
		require.Less(t, log(n), before[n])
		require.Zero(t, log(n), "nothing has happened since")
	}
	done, err = two.hand().Snapshot(t.Context(), runbook.SnapshotInput{Fence: fenceOf(2), Partitions: []int{2, 0}})
	require.NoError(t, err)
	require.False(t, done.DidChange(), "%+v", done)
	require.Equal(t, 2, done.Partitions[0].Partition)

	two.end(t)
	one.end(t)
	c = client.New(w.start("three").ready(t).url, nil)
	for n, id := range ids {
		task, err := c.Get(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(n), string(task.GetPayload()))
	}
}

// A replica more is given its share; then there is nothing to do.
func TestControl_Rebalance(t *testing.T) {
	w := newWorld(t, away)
	one := w.start("one").ready(t)
	w.start("two").ready(t)
	one.knows(t, 2)
	got, err := one.hand().Rebalance(t.Context(), runbook.RebalanceInput{Fence: fenceOf(1), Deadline: runbook.ControlMost})
	require.NoError(t, err)
	require.True(t, got.Met)
	has := map[string]int{}
	for _, name := range got.After {
		has[name]++
	}
	require.Len(t, has, 2)
	require.Equal(t, testPartitions/2, has[one.service.name])
	again, err := one.hand().Rebalance(t.Context(), runbook.RebalanceInput{Fence: fenceOf(1)})
	require.NoError(t, err)
	require.Equal(t, runbook.Placement{Before: got.After, After: got.After, Met: true}, again)
	require.False(t, again.DidChange())
}
