package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/engine"
)

// status asks an engine how it stands.
func (s *service) status(t *testing.T) engine.Status {
	t.Helper()
	var out engine.Status
	get(t, s.url+"/control/status", &out)
	return out
}

// control gives an engine an order and answers how it stands then.
func (s *service) control(t *testing.T, order string) engine.Status {
	t.Helper()
	resp, err := http.Post(s.url+"/control/"+order, "application/json", nil)
	require.NoError(t, err)
	var out engine.Status
	answer(t, resp, http.StatusOK, &out)
	return out
}

func (s *service) attached(t *testing.T, want int) {
	t.Helper()
	require.Eventually(t, func() bool { return s.status(t).Attached == want }, patience, glance, "%d agents attached", want)
}

// gate is a handler that holds its tasks until it is opened, and counts them.
type gate struct {
	begun chan string // the agent of each
	open  chan struct{}

	mu   sync.Mutex
	runs map[string]int // by task
}

func newGate() *gate {
	return &gate{begun: make(chan string, 1000), open: make(chan struct{}), runs: map[string]int{}}
}

// Handle implements engine.Handler.
func (g *gate) Handle(ctx context.Context, task *engine.Task) ([]byte, error) {
	g.mu.Lock()
	g.runs[task.ID]++
	g.mu.Unlock()
	g.begun <- task.Agent
	select {
	case <-g.open:
		return task.Payload, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// holds waits until as many more have begun, and answers how many each agent has.
func (g *gate) holds(t *testing.T, tasks int) map[string]int {
	t.Helper()
	by := map[string]int{}
	for range tasks {
		by[next(t, g.begun)]++
	}
	return by
}

func (g *gate) ran(task string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.runs[task]
}

// lost answers how many attempts of a queue ran out.
func (s *service) lost(t *testing.T, queue string) (attempts int) {
	t.Helper()
	var stats struct {
		Lost int `json:"lost_attempts"`
	}
	get(t, s.url+"/v1/stats?queue="+queue, &stats)
	return stats.Lost
}

// unique is a name that no other run on the same Redis has.
func unique(name string) string { return name + "-" + strings.ToLower(rand.Text()) }

// Many agents of several groups are on one stream, and one that breaks loses nothing:
// what was running goes on, and its result counts.
func TestOneStream(t *testing.T) {
	orchestrator, _ := stack(t)
	name, held := unique("held"), newGate()
	d := newDoor(t, orchestrator)
	e := host(t, "streaming", fmt.Sprintf(`
orchestrator: %s
streams: %s
agents:
  - {name: one, count: 3, capacity: 2, handlers: [%s]}
  - {name: two, count: 2, capacity: 2, handlers: [%s]}
`, orchestrator.url, d.URL, name, name), engine.WithHandler(name, held))
	e.attached(t, 5)
	require.Equal(t, map[string]int{work: 1}, d.seen(), "nothing but one stream")

	var ids []string
	submit := func(tasks int) {
		for range tasks {
			ids = append(ids, orchestrator.submit(t, name, name, fmt.Sprint(len(ids)), nil))
		}
	}
	submit(10)
	require.Len(t, held.holds(t, 10), 5, "each agent took some")
	require.Equal(t, 10, e.status(t).InFlight)

	for streams := 1; streams <= 3; streams++ {
		d.CloseClientConnections()
		again := func() bool { return d.seen()[work] == streams+1 && e.status(t).Attached == 5 }
		require.Eventually(t, again, patience, glance, "all attach again, on one stream")
		require.Equal(t, 10, e.status(t).InFlight, "what runs goes on")
	}

	// One that breaks while results and assignments are under way.
	submit(30)
	close(held.open)
	held.holds(t, 10)
	d.CloseClientConnections()
	for i, id := range ids {
		done := orchestrator.finished(t, id)
		require.Equal(t, "completed", done.State, done.Error)
		require.Equal(t, fmt.Sprint(i), done.Result)
		require.Zero(t, done.Failures)
		require.Positive(t, held.ran(id))
		if i < 10 {
			require.Equal(t, 1, done.Attempt)
			require.Equal(t, 1, held.ran(id), "begun once, through every stream")
		}
	}
	require.Eventually(t, func() bool { s := e.status(t); return s.InFlight == 0 && s.Attached == 5 }, patience, glance)
	e.end(t)
	calls := d.seen()
	require.Len(t, calls, 1, "%v: nothing but streams", calls)
}

// One of two engines is drained while it holds tasks, as opsworker does in a roll.
func TestControl_DrainsOneOfTwo(t *testing.T) {
	orchestrator, _ := stack(t)
	name, held := unique("held"), newGate()
	d := newDoor(t, orchestrator)
	config := func(at string) string {
		return fmt.Sprintf("orchestrator: %s\nagents: [{count: 3, capacity: 1, handlers: [%s]}]\n", at, name)
	}
	one := host(t, "drained", config(d.URL), engine.WithHandler(name, held))
	one.attached(t, 3)
	var first []string
	for range 3 {
		first = append(first, orchestrator.submit(t, name, name, "first", nil))
	}
	require.Len(t, held.holds(t, 3), 3)
	other := newGate()
	two := host(t, "other", config(orchestrator.url), engine.WithHandler(name, other))
	two.attached(t, 3)

	require.True(t, one.control(t, "drain").Draining)
	one.attached(t, 0)
	require.Equal(t, 3, one.control(t, "drain").InFlight, "what is in flight goes on, and the order bears repeating")
	d.CloseClientConnections()
	anew := func() bool { return d.seen()[work] == 2 }
	require.Eventually(t, anew, patience, glance, "a broken stream is made anew: leases and results need one")

	var second []string
	for range 9 { // more than the other has room for
		second = append(second, orchestrator.submit(t, name, name, "second", nil))
	}
	other.holds(t, 3)
	close(other.open)
	for _, id := range second {
		require.Contains(t, orchestrator.finished(t, id).Agent, "other-")
	}
	s := one.status(t)
	require.Equal(t, engine.Status{Draining: true, Agents: 3, InFlight: 3, TasksTaken: 3}, s, "it took no more")

	close(held.open)
	for _, id := range first {
		done := orchestrator.finished(t, id)
		require.Equal(t, "completed", done.State, done.Error)
		require.Equal(t, 1, done.Attempt)
		require.Contains(t, done.Agent, "drained-", "the result of before the drain counts")
	}
	require.Eventually(t, func() bool { return one.status(t).InFlight == 0 }, patience, glance)
	require.Zero(t, orchestrator.lost(t, name))

	require.False(t, one.control(t, "resume").Draining)
	one.attached(t, 3)
	two.end(t)
	require.Contains(t, orchestrator.finished(t, orchestrator.submit(t, name, name, "again", nil)).Agent, "drained-")
	one.end(t)
}
