package matcher_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/matcher"
)

// A task whose agent has gone comes back to it without a second assignment, counts
// against its capacity, and when it is returned instead it is the first again.
func TestAdrift(t *testing.T) {
	m, err := matcher.New(matcher.Config{MaxTasks: 8, MaxAgents: 4, MaxQueues: 1, Aging: 1})
	require.NoError(t, err)
	q, err := m.AddQueue("q", 1)
	require.NoError(t, err)
	found, err := m.SubmitRunning(matcher.Task{Queue: q, Arrival: 1})
	require.NoError(t, err)
	other, err := m.SubmitRunning(matcher.Task{Queue: q, Arrival: 2})
	require.NoError(t, err)
	waits, out, err := m.Submit(matcher.Task{Queue: q, Arrival: 3}, nil)
	require.NoError(t, err)
	require.Empty(t, out)
	require.Equal(t, 2, m.Stats().Running)

	agent, out, err := m.Reattach(matcher.Set{}, 2, []matcher.TaskID{found}, false, nil)
	require.NoError(t, err)
	require.Equal(t, []matcher.Assignment{{Task: waits, Agent: agent}}, out, "one of two slots was taken")
	for task, want := range map[matcher.TaskID]error{waits: matcher.ErrBound, found: matcher.ErrBound, 99: matcher.ErrNoTask} {
		_, _, err = m.Reattach(matcher.Set{}, 2, []matcher.TaskID{task}, false, nil)
		require.ErrorIs(t, err, want)
	}

	// No room until one is finished; then the returned one is the first.
	late, out, err := m.Submit(matcher.Task{Queue: q, Arrival: 4}, nil)
	require.NoError(t, err)
	require.Empty(t, out)
	out, err = m.Return(other, nil)
	require.NoError(t, err)
	require.Empty(t, out)
	out, err = m.Finish(found, nil)
	require.NoError(t, err)
	require.Equal(t, []matcher.Assignment{{Task: other, Agent: agent}}, out)

	// More than its capacity: it keeps them and gets nothing new.
	require.NoError(t, m.RemoveAgent(agent))
	agent, out, err = m.Reattach(matcher.Set{}, 1, []matcher.TaskID{other, waits}, false, nil)
	require.NoError(t, err)
	require.Empty(t, out)
	out, err = m.Finish(other, nil)
	require.NoError(t, err)
	require.Empty(t, out, "one of one slots is taken")
	out, err = m.Finish(waits, nil)
	require.NoError(t, err)
	require.Equal(t, []matcher.Assignment{{Task: late, Agent: agent}}, out)
}
