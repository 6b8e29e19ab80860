package probe

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

func TestWorkers(t *testing.T) {
	var mu sync.Mutex
	state := `{"draining": false, "agents": 2, "in_flight": 2, "tasks_taken": 0}`
	looks := 0
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch r.Method + " " + r.URL.Path {
		case "POST /control/drain":
			state = `{"draining": true, "in_flight": 2, "tasks_taken": 1}`
		case "POST /control/resume":
			state = `{"draining": false, "in_flight": 0, "tasks_taken": 1}`
		case "GET /control/status":
			if looks++; looks == 3 {
				state = `{"draining": false, "in_flight": 1, "tasks_taken": 1}`
			}
		default:
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(state))
	})
	ctx, in := context.Background(), runbook.WorkerInput{URL: url, Name: "engines-3", Deadline: runbook.Duration(20 * time.Second)}
	s, err := Hand{}.AwaitTaskTaken(ctx, in)
	require.NoError(t, err)
	require.True(t, s.Met)
	require.EqualValues(t, 1, s.TasksTaken)
	require.Equal(t, 3, looks)

	s, err = Hand{}.Drain(ctx, in)
	require.NoError(t, err)
	require.True(t, s.Draining)
	short := in
	short.Deadline = runbook.Duration(time.Millisecond)
	s, err = Hand{}.AwaitIdle(ctx, short)
	require.NoError(t, err)
	require.False(t, s.Met)
	require.Equal(t, 2, s.InFlight)
	s, err = Hand{}.Resume(ctx, in)
	require.NoError(t, err)
	require.False(t, s.Draining)
	s, err = Hand{}.AwaitIdle(ctx, in)
	require.NoError(t, err)
	require.True(t, s.Met)

	gone := runbook.WorkerInput{URL: "http://127.0.0.1:1", Name: "engines-1", Deadline: runbook.Duration(time.Millisecond)}
	_, err = Hand{}.Drain(ctx, gone)
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
	require.ErrorContains(t, err, "engines-1 does not answer: connection refused")
	s, err = Hand{}.AwaitIdle(ctx, gone)
	require.NoError(t, err)
	require.False(t, s.Met, "a worker that does not answer is not idle")
	other := runbook.WorkerInput{URL: url + "/elsewhere", Name: "hub-1"}
	_, err = Hand{}.Drain(ctx, other)
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
	_, err = Hand{}.AwaitIdle(ctx, other)
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
}

func TestAWorkerThatDoesNotObeyIsNotBelieved(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"draining": false}`)) })
	_, err := Hand{}.Drain(context.Background(), runbook.WorkerInput{URL: url, Name: "engines-1"})
	require.Equal(t, runbook.NotYet, runbook.KindOf(err))
}
