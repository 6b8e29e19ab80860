package matcher

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func explain(t *testing.T, m *Matcher, id TaskID) string {
	t.Helper()
	e, err := m.Explain(id)
	require.NoError(t, err)
	return e.String()
}

func capability(t *testing.T, m *Matcher, name string) Capability {
	t.Helper()
	c, err := m.Capabilities.Number(name)
	require.NoError(t, err)
	return c
}

func TestExplainMissingCapabilities(t *testing.T) {
	m := small(t)
	gpu, ssd := capability(t, m, "gpu"), capability(t, m, "ssd")
	anything, _ := submit(t, m, Task{})
	require.Equal(t, "No agent is attached.", explain(t, m, anything))
	both, _ := submit(t, m, Task{Needs: setOf(gpu, ssd)})
	require.Equal(t, "No attached agent has gpu, ssd.", explain(t, m, both))
	one, _ := addAgent(t, m, setOf(gpu), 1)
	require.Equal(t, "No attached agent has ssd.", explain(t, m, both))
	addAgent(t, m, setOf(ssd), 1)
	require.Equal(t, "No single agent has all of gpu, ssd.", explain(t, m, both))
	require.NoError(t, m.RemoveAgent(one))
	require.Equal(t, "No attached agent has gpu.", explain(t, m, both), "an agent that has left counts no more")
}

func TestExplainPositionAndNumber(t *testing.T) {
	m := small(t)
	addAgent(t, m, Set{}, 1)
	running, _ := submit(t, m, Task{})
	require.Equal(t, "It is running.", explain(t, m, running))
	next, _ := submit(t, m, Task{})
	second, _ := submit(t, m, Task{})
	third, _ := submit(t, m, Task{})
	require.Equal(t, `The only agent that could do it is full. It is the next of queue "default".`, explain(t, m, next))
	require.Equal(t, `The only agent that could do it is full. 1 task of queue "default" comes before it.`, explain(t, m, second))
	addAgent(t, m, Set{}, 1) // takes next
	addAgent(t, m, Set{}, 1) // takes second
	require.Equal(t, `All 3 agents that could do it are full. It is the next of queue "default".`, explain(t, m, third))
	fourth, _ := submit(t, m, Task{Arrival: 1})
	submit(t, m, Task{Arrival: 1, Priority: 9})
	require.Equal(t, `All 3 agents that could do it are full. 2 tasks of queue "default" come before it.`, explain(t, m, fourth))
}

func TestExplainDraining(t *testing.T) {
	m := small(t)
	pause := func(id AgentID) {
		_, err := m.SetPaused(id, true, nil)
		require.NoError(t, err)
	}
	first, _ := addAgent(t, m, Set{}, 1)
	pause(first)
	id, _ := submit(t, m, Task{})
	require.Equal(t, `The only agent that could do it is draining. It is the next of queue "default".`, explain(t, m, id))
	second, _ := addAgent(t, m, Set{}, 1) // takes it
	waits, _ := submit(t, m, Task{})
	require.Contains(t, explain(t, m, waits), "Of 2 agents that could do it 1 is full and 1 draining.")
	addAgent(t, m, Set{}, 1) // takes it
	waits, _ = submit(t, m, Task{})
	require.Contains(t, explain(t, m, waits), "Of 3 agents that could do it 2 are full and 1 draining.")
	require.NoError(t, m.RemoveAgent(second))
	fourth, _ := addAgent(t, m, setOf(1), 1) // takes it
	submit(t, m, Task{Needs: setOf(1)})
	pause(fourth)
	fifth, _ := addAgent(t, m, setOf(1, 2), 1) // takes it
	pause(fifth)
	waits, _ = submit(t, m, Task{Needs: setOf(1)})
	require.Contains(t, explain(t, m, waits), "All 2 agents that could do it are draining.")
}

func TestExplainShareOfTheQueue(t *testing.T) {
	m := small(t)
	heavy, err := m.AddQueue("heavy", 3)
	require.NoError(t, err)
	addAgent(t, m, setOf(1), 1)
	submit(t, m, Task{}) // runs
	id, _ := submit(t, m, Task{Needs: setOf(1)})
	require.NotContains(t, explain(t, m, id), "free slots", "no other queue waits")
	submit(t, m, Task{Queue: heavy, Needs: setOf(2)})
	require.NotContains(t, explain(t, m, id), "free slots", "what waits in the other queue needs other agents")
	submit(t, m, Task{Queue: heavy})
	require.Contains(t, explain(t, m, id), ` The queue gets 1 of every 4 free slots.`)
}

// At equal keys the higher priority is ahead, and of the others of the same key
// and lane those that came first.
func TestExplainAheadAtEqualKeys(t *testing.T) {
	m := small(t)
	addAgent(t, m, setOf(1), 1)
	submit(t, m, Task{}) // runs
	low, _ := submit(t, m, Task{Priority: 0, Arrival: 10})
	high, _ := submit(t, m, Task{Priority: 1, Arrival: 20})
	require.Contains(t, explain(t, m, low), "1 task of queue")
	require.Contains(t, explain(t, m, high), "It is the next of queue")
}

func TestExplainStopsCounting(t *testing.T) {
	m := newMatcher(t, Config{MaxTasks: maxAhead + 10, MaxAgents: 1, MaxQueues: 1})
	_, err := m.AddQueue("long", 1)
	require.NoError(t, err)
	addAgent(t, m, Set{}, 1)
	var last TaskID
	for range maxAhead + 5 {
		last, _ = submit(t, m, Task{})
	}
	require.Equal(t, `The only agent that could do it is full. At least 10000 tasks of queue "long" come before it.`, explain(t, m, last))
}

func TestExplainRefusesAStaleHandle(t *testing.T) {
	m := small(t)
	id, _ := submit(t, m, Task{})
	require.NoError(t, m.Cancel(id))
	_, err := m.Explain(id)
	require.ErrorIs(t, err, ErrNoTask)
}
