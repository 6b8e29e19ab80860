package archive

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// MarshalJSON implements json.Marshaler.
func (s stamp) MarshalJSON() ([]byte, error) { return s.append(nil), nil }

// encoded is a task's line as encoding/json writes it.
func encoded(t *testing.T, task *partition.Task) string {
	t.Helper()
	var buf bytes.Buffer
	to := json.NewEncoder(&buf)
	to.SetEscapeHTML(false)
	require.NoError(t, to.Encode(line{
		ID: task.ID, Key: task.Key, Queue: task.Queue, Handler: task.Handler, Capabilities: task.Capabilities, Priority: task.Priority,
		Deadline: stamp(task.Deadline), MaxAttempts: task.MaxAttempts, Payload: task.Payload, State: task.Phase.String(),
		Attempt: task.Attempt, Failures: task.Failures, Agent: task.Agent, Submitted: stamp(task.Submitted),
		Started: stamp(task.Started), Finished: stamp(task.Finished), Result: task.Result, Error: task.Error,
	}))
	return buf.String()
}

func TestLine_RoundTrip(t *testing.T) {
	full := taskOf(1)
	full.Error = "a\nb\x00<&>\u2028"
	odd := taskOf(2)
	odd.Submitted, odd.Started, odd.Finished, odd.Deadline = math.MinInt64, -1, math.MaxInt64, latest+1
	cancelled := taskOf(3)
	cancelled.Phase, cancelled.Started, cancelled.Deadline = partition.Cancelled, 0, 0
	one := taskOf(4)
	one.Capabilities, one.Key, one.Agent, one.Payload, one.Result = []string{"q\"uo\\te"}, "", "\t", nil, nil
	for _, task := range []partition.Task{full, odd, cancelled, one} {
		b := appendLine(nil, &task)
		require.Equal(t, 1, bytes.Count(b, []byte("\n")))
		require.Equal(t, encoded(t, &task), string(b))
		got, err := readLine(b)
		require.NoError(t, err)
		require.Equal(t, task, got)
	}
}

func TestLine_IsReadableByOthers(t *testing.T) {
	task := taskOf(0)
	b := string(appendLine(nil, &task))
	require.Contains(t, b, `"state":"completed"`)
	require.Contains(t, b, `"finished_at":"2026-11-29T15:00:00.000125Z"`)
}

func TestLine_Refused(t *testing.T) {
	for _, b := range []string{``, `{}`, `[]`, `{"state":"waiting"}`, `{"state":"dead","id":"x"}`, `{"state":"dead","finished_at":"noon"}`} {
		_, err := readLine([]byte(b))
		require.Error(t, err, b)
	}
}

// What reads is written again so that it reads as the same.
func FuzzReadLine(f *testing.F) {
	for i := range 3 {
		task := taskOf(i)
		f.Add(appendLine(nil, &task))
	}
	f.Add([]byte(`{"state":"dead","finished_at":-1,"started_at":"0000-01-01T00:00:00.9999999+23:59","payload":"","error":"\ud800"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		task, err := readLine(b)
		if err != nil {
			return
		}
		once := appendLine(nil, &task)
		require.Equal(t, encoded(t, &task), string(once))
		again, err := readLine(once)
		require.NoError(t, err)
		require.Equal(t, string(once), string(appendLine(nil, &again)))
	})
}
