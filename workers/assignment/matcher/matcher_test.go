package matcher

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func newMatcher(t testing.TB, c Config) *Matcher {
	t.Helper()
	m, err := New(c)
	require.NoError(t, err)
	return m
}

func small(t testing.TB) *Matcher {
	m := newMatcher(t, Config{MaxTasks: 10_000, MaxAgents: 10_000, MaxQueues: 8, Aging: 10})
	_, err := m.AddQueue("default", 1)
	require.NoError(t, err)
	return m
}

func setOf(caps ...Capability) Set {
	var s Set
	for _, c := range caps {
		s = s.With(c)
	}
	return s
}

func submit(t testing.TB, m *Matcher, task Task) (TaskID, []Assignment) {
	t.Helper()
	id, out, err := m.Submit(task, nil)
	require.NoError(t, err)
	return id, out
}

func addAgent(t testing.TB, m *Matcher, s Set, capacity int) (AgentID, []Assignment) {
	t.Helper()
	id, out, err := m.AddAgent(s, capacity, nil)
	require.NoError(t, err)
	return id, out
}

func TestLeastLoadedThenLongestIdle(t *testing.T) {
	m := small(t)
	a, _ := addAgent(t, m, setOf(1), 2)
	b, _ := addAgent(t, m, setOf(1, 2), 2)
	var got []AgentID
	var last TaskID
	for range 4 {
		id, out := submit(t, m, Task{Needs: setOf(1)})
		last = id
		got = append(got, out[0].Agent)
	}
	require.Equal(t, []AgentID{a, b, a, b}, got)
	_, err := m.Finish(last, nil)
	require.NoError(t, err)
	_, out := submit(t, m, Task{Needs: setOf(1)})
	require.Equal(t, b, out[0].Agent, "the less loaded one")
}

func TestPriorityAndAge(t *testing.T) {
	m := small(t)
	old, _ := submit(t, m, Task{Arrival: 0})
	urgent, _ := submit(t, m, Task{Priority: 9, Arrival: 80})
	late, _ := submit(t, m, Task{Priority: 9, Arrival: 91})
	_, out := addAgent(t, m, Set{}, 3)
	require.Equal(t, []TaskID{urgent, old, late}, []TaskID{out[0].Task, out[1].Task, out[2].Task})
}

func TestNothingStarvesBehindEndlessUrgentTasks(t *testing.T) {
	m := small(t)
	agent, _ := addAgent(t, m, Set{}, 1)
	now, _ := submit(t, m, Task{Priority: 9})
	patient, _ := submit(t, m, Task{Priority: 0, Arrival: 1})
	for step := int64(1); ; step++ {
		require.LessOrEqual(t, step, int64(200), "the patient task starved")
		submit(t, m, Task{Priority: 9, Arrival: step})
		submit(t, m, Task{Priority: 9, Arrival: step})
		out, err := m.Finish(now, nil)
		require.NoError(t, err)
		require.Len(t, out, 1)
		require.Equal(t, agent, out[0].Agent)
		if now = out[0].Task; now == patient {
			return
		}
	}
}

func TestQueuesShareByWeight(t *testing.T) {
	m := small(t)
	heavy, err := m.AddQueue("heavy", 3)
	require.NoError(t, err)
	queues := map[TaskID]QueueID{}
	for range 400 {
		for _, q := range []QueueID{0, heavy} {
			id, _ := submit(t, m, Task{Queue: q})
			queues[id] = q
		}
	}
	_, out := addAgent(t, m, Set{}, 400)
	count := map[QueueID]int{}
	for _, a := range out {
		count[queues[a.Task]]++
	}
	require.Equal(t, map[QueueID]int{0: 100, heavy: 300}, count)
}

func TestAQueueThatCouldNotBeServedGetsNoBurst(t *testing.T) {
	m := small(t)
	other, err := m.AddQueue("other", 1)
	require.NoError(t, err)
	queues := map[TaskID]QueueID{}
	for range 100 {
		id, _ := submit(t, m, Task{Queue: 0, Needs: setOf(7)})
		queues[id] = 0
		id, _ = submit(t, m, Task{Queue: other})
		queues[id] = other
	}
	addAgent(t, m, Set{}, 50)
	_, out := addAgent(t, m, setOf(7), 50)
	count := map[QueueID]int{}
	for _, a := range out {
		count[queues[a.Task]]++
	}
	require.Equal(t, map[QueueID]int{0: 25, other: 25}, count)
}

func TestNoRecordLiesAcrossCacheLines(t *testing.T) {
	require.EqualValues(t, 32, unsafe.Sizeof(task{}))
	require.EqualValues(t, 32, unsafe.Sizeof(agent{}))
	require.EqualValues(t, 192, unsafe.Sizeof(lane{}))
	require.EqualValues(t, 128, unsafe.Offsetof(lane{}.tails), "a submission touches no other line")
}

func TestAKindHoldsItsLargestParts(t *testing.T) {
	k := task{kind: kindOf(maxQueues-1, MaxShapes-1, MaxPriority)}
	k.become(running)
	require.Equal(t, []uint32{maxQueues - 1, MaxShapes - 1, MaxPriority, running}, []uint32{k.queue(), k.need(), uint32(k.priority()), k.state()})
	k.become(gone)
	require.Equal(t, []uint32{maxQueues - 1, MaxShapes - 1, MaxPriority, gone}, []uint32{k.queue(), k.need(), uint32(k.priority()), k.state()})
}

// A task taken out of any place of its list leaves the others in order.
func TestCancelAnywhereInAList(t *testing.T) {
	for gap := range 5 {
		m := small(t)
		var ids []TaskID
		for i := range 5 {
			id, _ := submit(t, m, Task{Arrival: int64(i)})
			ids = append(ids, id)
		}
		require.NoError(t, m.Cancel(ids[gap]))
		last, _ := submit(t, m, Task{Arrival: 5})
		want := append(append(append([]TaskID{}, ids[:gap]...), ids[gap+1:]...), last)
		_, out := addAgent(t, m, Set{}, 6)
		var got []TaskID
		for _, a := range out {
			got = append(got, a.Task)
		}
		require.Equal(t, want, got, "without task %d", gap)
	}
}

func TestPrefetchTakesAnyHandle(t *testing.T) {
	m := small(t)
	a, _ := addAgent(t, m, Set{}, 1)
	runs, _ := submit(t, m, Task{})
	waits, _ := submit(t, m, Task{})
	m.Prefetch(nil)
	m.Prefetch([]TaskID{0, runs, waits, runs + 1<<32, 1<<32 - 1})
	out, err := m.Finish(runs, nil)
	require.NoError(t, err)
	require.Equal(t, []Assignment{{Task: waits, Agent: a}}, out)
}

func TestDrainAndCapacity(t *testing.T) {
	m := small(t)
	a, _ := addAgent(t, m, Set{}, 1)
	_, err := m.SetPaused(a, true, nil)
	require.NoError(t, err)
	id, out := submit(t, m, Task{})
	require.Empty(t, out)
	out, err = m.SetPaused(a, false, nil)
	require.NoError(t, err)
	require.Equal(t, []Assignment{{Task: id, Agent: a}}, out)
	second, out := submit(t, m, Task{})
	require.Empty(t, out)
	out, err = m.SetCapacity(a, 70, nil)
	require.NoError(t, err)
	require.Equal(t, []Assignment{{Task: second, Agent: a}}, out)
}

func TestReturnGoesFirstAndToAnotherAgent(t *testing.T) {
	m := small(t)
	a, _ := addAgent(t, m, Set{}, 1)
	id, _ := submit(t, m, Task{})
	next, _ := submit(t, m, Task{})
	require.NoError(t, m.RemoveAgent(a))
	out, err := m.Return(id, nil)
	require.NoError(t, err)
	require.Empty(t, out)
	_, out = addAgent(t, m, Set{}, 2)
	require.Equal(t, []TaskID{id, next}, []TaskID{out[0].Task, out[1].Task})
}

func TestStaleHandlesAreRefused(t *testing.T) {
	m := small(t)
	id, _ := submit(t, m, Task{})
	require.ErrorIs(t, func() error { _, err := m.Finish(id, nil); return err }(), ErrNotRunning)
	require.NoError(t, m.Cancel(id))
	again, _ := submit(t, m, Task{})
	require.Equal(t, id.Slot(), again.Slot(), "the slot is used again")
	require.ErrorIs(t, m.Cancel(id), ErrNoTask)
	a, _ := addAgent(t, m, Set{}, 1)
	require.ErrorIs(t, m.Cancel(again), ErrNotWaiting)
	require.NoError(t, m.RemoveAgent(a))
	b, _ := addAgent(t, m, Set{}, 1)
	require.Equal(t, a.Slot(), b.Slot())
	require.ErrorIs(t, m.RemoveAgent(a), ErrNoAgent)
	_, err := m.Finish(again, nil)
	require.NoError(t, err)
	load, err := m.Load(b)
	require.NoError(t, err)
	require.Zero(t, load, "the slot's new agent does not pay for the old one's task")
}

func TestBoundsRefuse(t *testing.T) {
	m := newMatcher(t, Config{MaxTasks: 1, MaxAgents: 1, MaxQueues: 1})
	_, err := m.AddQueue("q", 1)
	require.NoError(t, err)
	_, err = m.AddQueue("r", 1)
	require.ErrorIs(t, err, ErrTooManyQueues)
	submit(t, m, Task{})
	_, _, err = m.Submit(Task{}, nil)
	require.ErrorIs(t, err, ErrTooManyTasks)
	addAgent(t, m, Set{}, 1)
	_, _, err = m.AddAgent(Set{}, 1, nil)
	require.ErrorIs(t, err, ErrTooManyAgents)
	var c Capabilities
	for i := range MaxCapabilities {
		_, err := c.Number(fmt.Sprint(i))
		require.NoError(t, err)
	}
	_, err = c.Number("one more")
	require.ErrorIs(t, err, ErrTooManyCapabilities)
	_, _, err = m.Submit(Task{Priority: 10}, nil)
	require.EqualError(t, err, "priority is 10: expected 0 to 9, for example 5")
}

func TestShapesAreBoundedAndReused(t *testing.T) {
	m := small(t)
	var first TaskID
	for i := range MaxShapes {
		id, _ := submit(t, m, Task{Needs: Set{uint64(i)}})
		if i == 1 {
			first = id
		}
	}
	_, _, err := m.Submit(Task{Needs: Set{1 << 40}}, nil)
	require.ErrorIs(t, err, ErrTooManyShapes)
	require.NoError(t, m.Cancel(first))
	id, _ := submit(t, m, Task{Needs: Set{1 << 40}})
	_, out := addAgent(t, m, Set{1 << 40}, 3)
	require.Equal(t, id, out[1].Task, "behind the task that needs nothing")
	require.Len(t, out, 2)
}
