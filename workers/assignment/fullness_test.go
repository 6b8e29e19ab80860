package assignment

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/redistest"
)

// A Redis that is full takes nothing new, and everything that it has taken is finished.
func TestReplica_RedisIsFull(t *testing.T) {
	r := newWorld(t, away).start("one").ready(t)
	admin := redis.NewClient(&redis.Options{Addr: redistest.Addr(t)})
	c := client.New(r.url, nil)
	var ids []string
	for range 20 {
		s, err := c.Submit(t.Context(), &hivev1.Draft{Queue: "full", Handler: "echo", Payload: make([]byte, 64<<10)})
		require.NoError(t, err)
		ids = append(ids, s.Task.GetId())
	}
	info, err := admin.Info(t.Context(), "memory").Result()
	require.NoError(t, err)
	require.Nil(t, roomIn(info), "it has no bound yet")
	// Less than it has in use: nothing may be stored but by a script that says so.
	require.NoError(t, admin.ConfigSet(t.Context(), "maxmemory", strconv.Itoa(1<<20)).Err())
	t.Cleanup(func() {
		require.NoError(t, admin.ConfigSet(context.Background(), "maxmemory", "0").Err())
		require.NoError(t, admin.Close())
	})
	require.Error(t, admin.Set(t.Context(), "{p0}:x", "y", time.Minute).Err(), "Redis is full")
	require.Eventually(t, func() bool {
		code, header, raw := callRaw(t, "POST", r.url+"/v1/tasks", "", `{"queue":"full","handler":"echo"}`)
		if code != http.StatusServiceUnavailable {
			return false
		}
		require.Contains(t, raw, "no task is stored")
		require.Equal(t, "5", header.Get("Retry-After"))
		return true
	}, patience, 50*time.Millisecond)
	require.Equal(t, []string{"unavailable", "unavailable", "unavailable"}, refusals(t, r.url, 3), "each draft of a frame has its own outcome")
	runAgent(t, c, client.AgentConfig{ID: "a", Capacity: 4, Handle: echo, Grace: time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, id := range ids {
		task, err := c.Wait(ctx, id)
		require.NoError(t, err)
		require.Equal(t, hivev1.TaskState_TASK_STATE_COMPLETED, task.GetState())
	}
}

// Between two looks what was sent counts too.
func TestFullness_CountsWhatWasSent(t *testing.T) {
	var f fullness
	require.NoError(t, f.admit(1<<30), "nobody has asked Redis yet")
	f.last.Store(roomIn("# Memory\r\nused_memory:700\r\nmaxmemory:1000\r\n"))
	require.NoError(t, f.admit(60))
	require.ErrorContains(t, f.admit(50), "70 %")
	require.NoError(t, f.admit(39), "what was refused takes no room")
	require.Error(t, f.admit(1))
	f.last.Store(roomIn("# Memory\r\nused_memory:800\r\nmaxmemory:1000\r\n"))
	require.Error(t, f.admit(0))
}

// refusals sends one frame and answers what each of its drafts was refused with.
func refusals(t *testing.T, url string, drafts int) []string {
	t.Helper()
	stream := openSubmits(t, url)
	frame := &hivev1.SubmitStreamRequest{Sequence: 1}
	for range drafts {
		frame.Drafts = append(frame.Drafts, &hivev1.Draft{Queue: "full", Handler: "echo"})
	}
	require.NoError(t, stream.Send(frame))
	m, err := stream.Receive()
	require.NoError(t, err)
	require.EqualValues(t, 1, m.GetSequence())
	var out []string
	for _, o := range m.GetOutcomes() {
		require.NotEmpty(t, o.GetReason())
		out = append(out, o.GetRefused())
	}
	return out
}
