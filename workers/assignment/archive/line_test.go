package archive

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

func TestLine_RoundTrip(t *testing.T) {
	full := taskOf(1)
	full.Error = "a\nb\x00<&>\u2028"
	odd := taskOf(2)
	odd.Submitted, odd.Started, odd.Finished, odd.Deadline = math.MinInt64, -1, math.MaxInt64, latest+1
	cancelled := taskOf(3)
	cancelled.Phase, cancelled.Started, cancelled.Deadline = partition.Cancelled, 0, 0
	for _, task := range []partition.Task{full, odd, cancelled} {
		var buf bytes.Buffer
		require.NoError(t, writeLine(&buf, &task))
		require.Equal(t, 1, bytes.Count(buf.Bytes(), []byte("\n")))
		got, err := readLine(buf.Bytes())
		require.NoError(t, err)
		require.Equal(t, task, got)
	}
}

func TestLine_IsReadableByOthers(t *testing.T) {
	task := taskOf(0)
	var buf bytes.Buffer
	require.NoError(t, writeLine(&buf, &task))
	require.Contains(t, buf.String(), `"state":"completed"`)
	require.Contains(t, buf.String(), `"finished_at":"2026-11-29T15:00:00.000125Z"`)
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
		var buf bytes.Buffer
		require.NoError(f, writeLine(&buf, &task))
		f.Add(buf.Bytes())
	}
	f.Add([]byte(`{"state":"dead","finished_at":-1,"started_at":"0000-01-01T00:00:00.9999999+23:59","payload":"","error":"\ud800"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		task, err := readLine(b)
		if err != nil {
			return
		}
		var once, twice bytes.Buffer
		require.NoError(t, writeLine(&once, &task))
		again, err := readLine(once.Bytes())
		require.NoError(t, err)
		require.NoError(t, writeLine(&twice, &again))
		require.Equal(t, once.String(), twice.String())
	})
}
