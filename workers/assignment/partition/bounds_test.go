package partition

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/matcher"
)

func ready(t testing.TB, edit func(*Limits)) *State {
	limits := small()
	if edit != nil {
		edit(&limits)
	}
	s, err := NewState(limits)
	require.NoError(t, err)
	require.NoError(t, s.Ready(0))
	return s
}

func draft(edit func(*Draft)) *Draft {
	d := &Draft{ID: uuid.Must(uuid.NewV7()), Queue: "q", Handler: "h", MaxAttempts: 1}
	if edit != nil {
		edit(d)
	}
	return d
}

// Each bound refuses in its own words and stores nothing.
func TestState_Bounds(t *testing.T) {
	var busy *BusyError
	t.Run("tasks", func(t *testing.T) {
		s := ready(t, func(l *Limits) { l.Tasks = 1 })
		require.NoError(t, s.Submit(1, draft(nil))[0].Err)
		err := s.Submit(1, draft(nil))[0].Err
		require.ErrorAs(t, err, &busy)
		require.ErrorContains(t, err, "1 tasks wait or run")
	})
	t.Run("queues", func(t *testing.T) {
		s := ready(t, func(l *Limits) { l.Queues = 1 })
		require.NoError(t, s.Submit(1, draft(nil))[0].Err)
		err := s.Submit(1, draft(func(d *Draft) { d.Queue = "other" }))[0].Err
		require.ErrorAs(t, err, &busy)
		require.ErrorContains(t, err, "1 queues exist")
	})
	t.Run("capabilities", func(t *testing.T) {
		s := ready(t, func(l *Limits) { l.Tasks = 1000 })
		for i := range matcher.MaxCapabilities {
			require.NoError(t, s.Submit(1, draft(func(d *Draft) { d.Capabilities = []string{fmt.Sprint("c", i)} }))[0].Err)
		}
		err := s.Submit(1, draft(func(d *Draft) { d.Capabilities = []string{"one-more"} }))[0].Err
		require.ErrorAs(t, err, &busy)
		require.ErrorContains(t, err, "[one-more] has one more")
	})
	t.Run("capability sets", func(t *testing.T) {
		s := ready(t, func(l *Limits) { l.Tasks = 10_000 })
		n := 0
		for a := range 128 {
			for b := range a {
				if n == matcher.MaxShapes {
					break
				}
				n++
				require.NoError(t, s.Submit(1, draft(func(d *Draft) { d.Capabilities = []string{fmt.Sprint("c", a), fmt.Sprint("c", b)} }))[0].Err)
			}
		}
		err := s.Submit(1, draft(func(d *Draft) { d.Capabilities = []string{"c1", "c2", "c3"} }))[0].Err
		require.ErrorAs(t, err, &busy)
		require.ErrorContains(t, err, "4096 different capability sets")
	})
	t.Run("agents", func(t *testing.T) {
		s := ready(t, func(l *Limits) { l.Agents = 1 })
		_, err := s.Seat(1, Seating{AgentSpec: AgentSpec{ID: "a", Capacity: 1}, Slots: 1, Sink: &hand{runs: map[Execution]bool{}}})
		require.NoError(t, err)
		refused, err := s.Seat(1, Seating{AgentSpec: AgentSpec{ID: "b", Capacity: 1}, Slots: 1, Sink: &hand{runs: map[Execution]bool{}}})
		require.NoError(t, err)
		require.ErrorAs(t, refused, &busy)
		require.ErrorContains(t, refused, "1 agents are attached")
		require.Len(t, s.Agents(), 1)
	})
	t.Run("the archive is away", func(t *testing.T) {
		s := ready(t, func(l *Limits) { l.Unarchived = 1 })
		d := draft(nil)
		require.NoError(t, s.Submit(1, d)[0].Err)
		require.NoError(t, s.Cancel(1, d.ID))
		err := s.Submit(1, draft(nil))[0].Err
		require.ErrorAs(t, err, &busy)
		require.ErrorContains(t, err, "1 finished tasks wait for the archive")
		s.Archived(offered(s, 1, 1<<20))
		require.NoError(t, s.Submit(1, draft(nil))[0].Err)
	})
	t.Run("bodies", func(t *testing.T) {
		const tasks = 1024
		s := ready(t, func(l *Limits) { l.Tasks, l.Bytes = 2*tasks, tasks*(taskSize+bodyMost) })
		for range tasks {
			require.NoError(t, s.Submit(1, draft(func(d *Draft) { d.Payload = make([]byte, bodyMost) }))[0].Err)
		}
		err := s.Submit(1, draft(func(d *Draft) { d.Payload = []byte("x") }))[0].Err
		require.ErrorAs(t, err, &busy)
		require.ErrorContains(t, err, "5 MiB")
	})
	t.Run("bodies that Redis keeps", func(t *testing.T) {
		s := ready(t, func(l *Limits) { l.Bytes = 1 << 20 })
		large := func(d *Draft) { d.Payload = make([]byte, 256<<10) }
		list := []*Draft{draft(large), draft(large), draft(large), draft(large), draft(large)}
		for _, d := range list {
			require.NoError(t, s.Submit(1, d)[0].Err, "they take no memory")
		}
		require.Less(t, s.bytes, 10*taskSize)
		for _, d := range list[:4] {
			require.NoError(t, s.Cancel(1, d.ID))
		}
		_, err := s.Tick(2, 10)
		require.NoError(t, err)
		require.Len(t, s.tasks, 5, "nothing goes before the archive has it")
		s.Archived(offered(s, 10, 512<<10))
		_, err = s.Tick(2, 10)
		require.NoError(t, err)
		require.Len(t, s.tasks, 4, "the finished go early, until they take three quarters of the bound")
		require.Equal(t, 3*256<<10, s.shelved)
		require.Len(t, s.changes.bodies.drops, 1)
	})
	t.Run("the same submit again", func(t *testing.T) {
		s := ready(t, nil)
		d := draft(nil)
		first := s.Submit(1, d)
		require.NoError(t, first[0].Err)
		require.Equal(t, first, s.Submit(1, d))
		require.Equal(t, uint64(1), s.Stats()[0].Submitted)
	})
	t.Run("one key twice in a call", func(t *testing.T) {
		s := ready(t, nil)
		first := draft(func(d *Draft) { d.Key = "k" })
		out := s.Submit(1, first, draft(func(d *Draft) { d.Key = "k" }), draft(func(d *Draft) { d.Key, d.Digest[0] = "k", 1 }))
		require.NoError(t, out[0].Err)
		require.Equal(t, Submitted{Task: first.ID, Duplicate: true}, out[1])
		var conflict *ConflictError
		require.ErrorAs(t, out[2].Err, &conflict)
		require.Equal(t, uint64(1), s.Stats()[0].Submitted)
	})
	t.Run("memory for one of two in a call", func(t *testing.T) {
		s := ready(t, func(l *Limits) { l.Bytes = 2*(taskSize+bodyMost) - 1 })
		big := func(d *Draft) { d.Payload = make([]byte, bodyMost) }
		out := s.Submit(1, draft(big), draft(big))
		require.NoError(t, out[0].Err)
		var busy *BusyError
		require.ErrorAs(t, out[1].Err, &busy)
	})
	t.Run("dead letters", func(t *testing.T) {
		s := ready(t, func(l *Limits) { l.DeadLetters = 1 })
		for range 3 {
			require.NoError(t, s.Submit(1, draft(func(d *Draft) { d.Deadline = 2 }))[0].Err)
		}
		_, err := s.Tick(3, 10)
		require.NoError(t, err)
		require.Len(t, s.List(Page{Phase: Dead, Most: 10}), 3, "nothing is dropped before the archive has it")
		s.Archived(offered(s, 10, 1<<20))
		_, err = s.Tick(1<<60, 10)
		require.NoError(t, err)
		require.Len(t, s.List(Page{Phase: Dead, Most: 10}), 1)
	})
	t.Run("a deadline that has passed", func(t *testing.T) {
		require.ErrorIs(t, ready(t, nil).Submit(5, draft(func(d *Draft) { d.Deadline = 5 }))[0].Err, ErrExpired)
	})
	t.Run("a key with another body", func(t *testing.T) {
		s := ready(t, nil)
		first := draft(func(d *Draft) { d.Key = "k" })
		require.NoError(t, s.Submit(1, first)[0].Err)
		var conflict *ConflictError
		require.ErrorAs(t, s.Submit(1, draft(func(d *Draft) { d.Key, d.Digest[0] = "k", 1 }))[0].Err, &conflict)
		require.Equal(t, first.ID, conflict.Task)
		require.NoError(t, s.Submit(1, draft(func(d *Draft) { d.Key, d.Queue = "k", "other" }))[0].Err, "another queue has keys of its own")
	})
}

// A late result is refused, each for its own reason; the last lost attempt is a dead letter.
func TestState_LateResults(t *testing.T) {
	s := ready(t, nil)
	h := &hand{runs: map[Execution]bool{}}
	_, err := s.Seat(0, Seating{AgentSpec: AgentSpec{ID: "a", Capacity: 1}, Slots: 1, Sink: h})
	require.NoError(t, err)
	d := draft(func(d *Draft) { d.MaxAttempts = 2 })
	require.NoError(t, s.Submit(0, d)[0].Err)
	refused := func(agent string, attempt int, why string) {
		t.Helper()
		v, err := s.Report(1, Report{Agent: agent, Execution: Execution{d.ID, attempt}})
		require.NoError(t, err)
		require.False(t, v.Accepted)
		require.Contains(t, v.Reason, why)
	}
	refused("b", 1, "attempt 1 is agent a's")
	refused("a", 2, "has not been started")
	lease := small().Lease.Microseconds()
	_, err = s.Tick(lease, 10)
	require.NoError(t, err)
	task, err := s.Get(d.ID)
	require.NoError(t, err)
	require.Equal(t, 2, task.Attempt, "the agent whose slot was freed got it again in the same instant")
	refused("a", 1, "attempt 2 has followed it")
	_, err = s.Tick(2*lease, 10)
	require.NoError(t, err)
	task, err = s.Get(d.ID)
	require.NoError(t, err)
	require.Equal(t, Dead, task.Phase)
	require.Contains(t, task.Error, "was not heard of for "+(10*time.Second).String())
	refused("a", 2, "has ended already: the task is dead")
	why, err := s.Explain(d.ID)
	require.NoError(t, err)
	require.Contains(t, why, "It is dead")
}

// offered answers how many finished tasks are offered to the archive.
func offered(s *State, most, bytes int) int {
	s.Reoffer()
	list, _ := s.Unarchived(nil, most, bytes)
	return len(list)
}
