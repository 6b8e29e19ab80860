package archive

import (
	"bytes"
	"math"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// table answers all rows as text.
func table(t *testing.T, s *Store) []string {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `SELECT f::text FROM finished_tasks AS f ORDER BY id`)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return out
}

// What is copied is what the statement stores, whatever the fields are.
func TestCopy_EqualsTheStatement(t *testing.T) {
	tasks := tasksOf(0, 9)
	for i, change := range []func(*partition.Task){
		func(*partition.Task) {},
		func(o *partition.Task) { o.Key, o.Agent, o.Capabilities, o.Payload, o.Result = "", "", nil, nil, nil },
		func(o *partition.Task) { o.Deadline, o.Started, o.Submitted, o.Finished = 0, 0, 0, 0 },
		func(o *partition.Task) {
			o.Deadline, o.Started, o.Submitted, o.Finished = 1, 2, 946_684_800_000_000-1, 946_684_800_000_000
		},
		func(o *partition.Task) {
			o.Deadline, o.Started, o.Submitted, o.Finished = latest, latest, latest, latest
		},
		func(o *partition.Task) { o.Priority, o.MaxAttempts = math.MaxInt16, math.MaxInt16 },
		func(o *partition.Task) { o.Attempt, o.Failures, o.Phase = math.MaxInt32, math.MaxInt32, partition.Dead },
		func(o *partition.Task) {
			o.Error, o.Key, o.Capabilities = "a\x00b\xffc\"{},\\", "\xfe", []string{"", "NULL", "{}", "\x00", "größe"}
		},
		func(o *partition.Task) {
			o.Payload, o.Result, o.Phase = bytes.Repeat([]byte("\\\x00\n"), 90_000), []byte("\xff\xff"), partition.Cancelled
		},
	} {
		change(&tasks[i])
	}
	copied, _ := storeOn(t)
	stated, _ := storeOn(t)
	require.NoError(t, copied.Insert(t.Context(), tasks))
	for i := range tasks {
		require.NoError(t, stated.Insert(t.Context(), tasks[i:i+1]))
	}
	require.Len(t, table(t, stated), len(tasks))
	require.Equal(t, table(t, stated), table(t, copied))
	require.Zero(t, copied.Refused()+stated.Refused())
}
