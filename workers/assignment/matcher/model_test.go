package matcher

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The model holds the rule in the plainest form: it looks at everybody.
type modelAgent struct {
	id       AgentID
	skills   Set
	capacity int
	load     int
	paused   bool
	since    int
}

type modelTask struct {
	id      TaskID
	spec    Task
	key     int64
	running bool
	agent   AgentID
}

type model struct {
	agents map[AgentID]*modelAgent
	tasks  map[TaskID]*modelTask
	step   int
	latest int64
}

func (a *modelAgent) room() bool { return !a.paused && a.load < a.capacity }

// accept checks each assignment against the rule and carries it out.
func (w *model) accept(t *rapid.T, out []Assignment) {
	for _, as := range out {
		task, agent := w.tasks[as.Task], w.agents[as.Agent]
		require.NotNil(t, task)
		require.NotNil(t, agent)
		require.False(t, task.running, "assigned twice")
		require.True(t, agent.room(), "no room")
		require.True(t, agent.skills.Has(task.spec.Needs), "lacks a capability")
		for _, o := range w.tasks {
			if !o.running && o.spec.Queue == task.spec.Queue && agent.skills.Has(o.spec.Needs) {
				require.LessOrEqual(t, task.key, o.key, "a better task of the queue waits")
			}
		}
		w.step++
		task.running, task.agent = true, as.Agent
		agent.load++
		agent.since = w.step
	}
	for _, task := range w.tasks {
		for _, agent := range w.agents {
			require.False(t, !task.running && agent.room() && agent.skills.Has(task.spec.Needs),
				"a task waits beside an agent with room")
		}
	}
}

// bestAgent is whom a new task must go to.
func (w *model) bestAgent(need Set) AgentID {
	var best *modelAgent
	for _, a := range w.agents {
		if a.room() && a.skills.Has(need) && (best == nil || a.load < best.load ||
			a.load == best.load && a.since < best.since) {
			best = a
		}
	}
	if best == nil {
		return 0
	}
	return best.id
}

func pick[K ~uint64, V any](t *rapid.T, from map[K]V, keep func(V) bool) (K, bool) {
	var ids []K
	for id, v := range from {
		if keep(v) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return 0, false
	}
	// Map order is random; the draw must depend on the seed alone.
	low := rapid.IntRange(0, len(ids)-1).Draw(t, "which")
	for i := range ids {
		for j := i + 1; j < len(ids); j++ {
			if ids[j] < ids[i] {
				ids[i], ids[j] = ids[j], ids[i]
			}
		}
	}
	return ids[low], true
}

func TestMatcherFollowsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const aging = 5
		m, err := New(Config{MaxTasks: 1000, MaxAgents: 1000, MaxQueues: 3, Aging: aging})
		require.NoError(t, err)
		for range 3 {
			_, err := m.AddQueue("q", 1)
			require.NoError(t, err)
		}
		w := &model{agents: map[AgentID]*modelAgent{}, tasks: map[TaskID]*modelTask{}}
		set := rapid.Custom(func(t *rapid.T) Set { return Set{rapid.Uint64Range(0, 7).Draw(t, "set")} })
		anyAgent := func(*modelAgent) bool { return true }
		isRunning := func(k *modelTask) bool { return k.running }
		free := func(id TaskID) {
			if a := w.agents[w.tasks[id].agent]; a != nil {
				w.step++
				a.load--
				a.since = w.step
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"submit": func(t *rapid.T) {
				w.latest += rapid.Int64Range(0, 9).Draw(t, "later")
				spec := Task{
					Queue:    QueueID(rapid.IntRange(0, 2).Draw(t, "queue")),
					Needs:    set.Draw(t, "needs"),
					Priority: rapid.IntRange(0, 9).Draw(t, "priority"),
					Arrival:  w.latest,
				}
				want := w.bestAgent(spec.Needs)
				id, out, err := m.Submit(spec, nil)
				require.NoError(t, err)
				require.NotContains(t, w.tasks, id)
				w.tasks[id] = &modelTask{id: id, spec: spec, key: spec.Arrival - int64(spec.Priority)*aging}
				if want == 0 {
					require.Empty(t, out)
				} else {
					require.Equal(t, []Assignment{{Task: id, Agent: want}}, out)
				}
				w.accept(t, out)
			},
			"attach": func(t *rapid.T) {
				s, c := set.Draw(t, "skills"), rapid.IntRange(1, 3).Draw(t, "capacity")
				id, out, err := m.AddAgent(s, c, nil)
				require.NoError(t, err)
				w.step++
				w.agents[id] = &modelAgent{id: id, skills: s, capacity: c, since: w.step}
				w.accept(t, out)
			},
			"detach": func(t *rapid.T) {
				if id, ok := pick(t, w.agents, anyAgent); ok {
					require.NoError(t, m.RemoveAgent(id))
					delete(w.agents, id)
				}
			},
			"pause": func(t *rapid.T) {
				if id, ok := pick(t, w.agents, anyAgent); ok {
					a := w.agents[id]
					a.paused = !a.paused
					out, err := m.SetPaused(id, a.paused, nil)
					require.NoError(t, err)
					w.step++
					a.since = w.step
					w.accept(t, out)
				}
			},
			"resize": func(t *rapid.T) {
				if id, ok := pick(t, w.agents, anyAgent); ok {
					a := w.agents[id]
					a.capacity = rapid.IntRange(1, 5).Draw(t, "capacity")
					out, err := m.SetCapacity(id, a.capacity, nil)
					require.NoError(t, err)
					w.step++
					a.since = w.step
					w.accept(t, out)
				}
			},
			"finish": func(t *rapid.T) {
				if id, ok := pick(t, w.tasks, isRunning); ok {
					out, err := m.Finish(id, nil)
					require.NoError(t, err)
					free(id)
					delete(w.tasks, id)
					w.accept(t, out)
				}
			},
			"return": func(t *rapid.T) {
				if id, ok := pick(t, w.tasks, isRunning); ok {
					out, err := m.Return(id, nil)
					require.NoError(t, err)
					free(id)
					k := w.tasks[id]
					for _, o := range w.tasks {
						if !o.running && o.spec.Queue == k.spec.Queue && o.spec.Needs == k.spec.Needs &&
							o.spec.Priority == k.spec.Priority {
							k.key = min(k.key, o.key)
						}
					}
					k.running, k.agent = false, 0
					w.accept(t, out)
				}
			},
			"cancel": func(t *rapid.T) {
				if id, ok := pick(t, w.tasks, func(k *modelTask) bool { return !k.running }); ok {
					require.NoError(t, m.Cancel(id))
					delete(w.tasks, id)
				}
			},
			"": func(t *rapid.T) {
				waits := 0
				for _, k := range w.tasks {
					if !k.running {
						waits++
					}
				}
				s := m.Stats()
				require.Equal(t, waits, s.Waiting)
				require.Equal(t, len(w.tasks)-waits, s.Running)
				require.Equal(t, len(w.agents), s.Agents)
				for id, a := range w.agents {
					load, err := m.Load(id)
					require.NoError(t, err)
					require.Equal(t, a.load, load)
				}
			},
		})
	})
}
