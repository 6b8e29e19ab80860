package assignment

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// counted is what a fleet's agents have executed.
type counted struct {
	mu    sync.Mutex
	times map[string]int
}

func (c *counted) execute(_ context.Context, as *hivev1.Assignment) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times[as.GetExecution().GetTaskId()]++
	return as.GetPayload(), nil
}

// runFleet runs agents on one stream until the test ends.
func runFleet(t *testing.T, c *client.Client, agents int, cfg client.AgentConfig) {
	t.Helper()
	fleet := c.NewFleet(client.FleetConfig{})
	for i := range agents {
		cfg := cfg
		cfg.ID = fmt.Sprint(cfg.ID, "-", i)
		require.NoError(t, fleet.Add(cfg))
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- fleet.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
}

// Streams through replicas that come and go: 1 → 3 → 1 under load, without an error that a
// submitter sees, no task lost, none executed twice.
func TestStreams_OneThreeOne(t *testing.T) {
	w := newWorld(t, away)
	one := w.start("one").ready(t)
	streams := &balancer{base: client.NewStreamTransport()}
	calls := &balancer{}
	set := func(list ...*replica) { streams.set(list...); calls.set(list...) }
	set(one)
	c := client.New("http://proxy", &http.Client{Transport: calls}, client.WithStreams(&http.Client{Transport: streams}))
	seen := &counted{times: map[string]int{}}
	runFleet(t, c, 8, client.AgentConfig{ID: "agent", Capacity: 5, Handle: seen.execute, Grace: time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	tasks := newSubmitted(c, 11, 200)
	const each = 400
	tasks.submit(ctx, each)
	two, three := w.start("two").ready(t), w.start("three").ready(t)
	set(one, two, three)
	tasks.submit(ctx, each)
	set(two, three)
	one.stop()
	tasks.submit(ctx, each)
	require.NoError(t, <-one.done)
	one.done <- nil
	set(three)
	two.end(t)
	tasks.submit(ctx, each)
	tasks.completed(ctx, t)
	for id, times := range seen.times {
		task, err := c.Get(ctx, id)
		require.NoError(t, err)
		require.LessOrEqual(t, times, int(task.GetAttempt()), "each execution is an attempt of its own")
	}
}

// A dead letter can be read, and runs again when it is put back.
func TestStreams_DeadLetter(t *testing.T) {
	w := newWorld(t, away)
	r := w.start("one").ready(t)
	c := client.New(r.url, nil)
	var sound atomic.Bool
	runFleet(t, c, 1, client.AgentConfig{ID: "agent", Capacity: 1, Grace: time.Second, Handle: func(_ context.Context, as *hivev1.Assignment) ([]byte, error) {
		if sound.Load() {
			return as.GetPayload(), nil
		}
		return nil, client.Final(errors.New("broken tool"))
	}})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := c.Submit(ctx, &hivev1.Draft{Queue: "letters", Handler: "echo", Payload: []byte("x")})
	require.NoError(t, err)
	id := s.Task.GetId()
	_, err = c.Wait(ctx, id)
	require.NoError(t, err)
	code, _, raw := callRaw(t, "GET", r.url+"/v1/tasks?state=dead&queue=letters", "", "")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, raw, id)
	require.Contains(t, raw, "broken tool")
	sound.Store(true)
	code, _, raw = callRaw(t, "POST", r.url+"/v1/tasks/"+id+"/redrive", "", "")
	require.Equal(t, http.StatusOK, code, raw)
	require.Eventually(t, func() bool {
		task, err := c.Get(ctx, id)
		return err == nil && task.GetState() == hivev1.TaskState_TASK_STATE_COMPLETED && task.GetAttempt() == 2
	}, patience, 10*time.Millisecond)
}
