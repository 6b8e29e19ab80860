package assignment

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/migrations/app/apptest"
	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workers/redistest"
)

// turned is a handler whose result is as large as its payload, and another.
func turned(_ context.Context, as *hivev1.Assignment) ([]byte, error) {
	out := slices.Clone(as.GetPayload())
	slices.Reverse(out)
	return out, nil
}

// The largest payloads and results go from the submit through an agent to the archive, over
// replicas that come and go, and leave nothing in Redis.
func TestReplicas_LargestBodies(t *testing.T) {
	w := newWorld(t, away)
	one, two := w.start("one").ready(t), w.start("two").ready(t)
	var lb balancer
	lb.set(one, two)
	c := client.New("http://proxy", &http.Client{Transport: &lb})
	keeper := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{redistest.Addr(t)}})
	t.Cleanup(func() { _ = keeper.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	const tasks = 12
	payloads := make([][]byte, tasks)
	ids := make([]string, tasks)
	random := rand.NewChaCha8([32]byte{1})
	for i := range payloads {
		payloads[i] = make([]byte, MaxPayload)
		_, _ = random.Read(payloads[i]) // it never fails
		s, err := c.Submit(ctx, &hivev1.Draft{Queue: fmt.Sprint("large", i%5), Handler: "turn", Payload: payloads[i]})
		require.NoError(t, err)
		require.True(t, bytes.Equal(payloads[i], s.Task.GetPayload()))
		ids[i] = s.Task.GetId()
	}
	require.Len(t, bodyKeys(t, keeper), tasks)
	has := func(task *hivev1.Task, i int) {
		t.Helper()
		require.Equal(t, hivev1.TaskState_TASK_STATE_COMPLETED, task.GetState())
		require.True(t, bytes.Equal(payloads[i], task.GetPayload()))
		result := slices.Clone(task.GetResult())
		slices.Reverse(result)
		require.True(t, bytes.Equal(payloads[i], result))
	}
	_, stop := runAgent(t, c, client.AgentConfig{ID: "agent", Capacity: 3, Handle: turned, Grace: time.Second})
	for i, id := range ids {
		task, err := c.Wait(ctx, id)
		require.NoError(t, err)
		has(task, i)
	}
	stop()
	require.Len(t, bodyKeys(t, keeper), 2*tasks)

	// The next owners find everything in Redis, archive it and forget it.
	w.dsn = apptest.Schema(t)
	three := w.start("three", func(_ *process.Config, c *Config) { c.Limits.Keep = time.Millisecond }).ready(t)
	one.end(t)
	two.end(t)
	lb.set(three)
	require.Eventually(t, func() bool { return len(bodyKeys(t, keeper)) == 0 }, patience, 20*time.Millisecond, "what is forgotten leaves nothing in Redis")
	for i, id := range ids {
		task, err := c.Get(ctx, id)
		require.NoError(t, err)
		has(task, i)
	}
}
