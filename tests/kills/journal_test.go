package main

import (
	"encoding/binary"
	"testing"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/codec"
)

// record puts together a journal record as partition/record.go writes them.
func record(kind byte, id uuid.UUID, fields ...any) []byte {
	b := binary.AppendUvarint(append([]byte{kind}, id[:]...), 1_700_000_000_000_000)
	for _, f := range fields {
		switch f := f.(type) {
		case int:
			b = binary.AppendUvarint(b, uint64(f))
		case string:
			b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
		case byte:
			b = append(b, f)
		}
	}
	return b
}

func TestAppendEntry(t *testing.T) {
	id := uuid.New()
	blob, _ := codec.Append(nil, 3, 7, [][]byte{
		record(1, id, "key", "digest and all the rest"),
		record(2, id, 300, "agent-1"),
		record(3, id, byte(3), byte(1), "lost", ""),
		record(4, id), // forgotten: of no interest
		record(3, id, byte(5), byte(4), "too late", ""),
	})
	got, err := appendEntry(nil, 2, 7, redis.XMessage{ID: "7-0", Values: map[string]any{"e": "3", "b": string(blob)}})
	require.NoError(t, err)
	task := id.String()
	require.Equal(t, []Change{
		{Partition: 2, Seq: 7, Epoch: 3, What: submitted, Task: task, Key: "key"},
		{Partition: 2, Seq: 7, Epoch: 3, What: started, Task: task, Attempt: 300, Agent: "agent-1"},
		{Partition: 2, Seq: 7, Epoch: 3, What: lost, Task: task},
		{Partition: 2, Seq: 7, Epoch: 3, What: ended, Task: task},
	}, got)

	got, err = appendEntry(nil, 0, 1, redis.XMessage{ID: "1-0", Values: map[string]any{"e": "4", "t": "orchestrator-1"}})
	require.NoError(t, err)
	require.Equal(t, []Change{{Seq: 1, Epoch: 4, What: takeover, Agent: "orchestrator-1"}}, got)

	for _, bad := range [][]byte{nil, record(1, id, 200), record(2, id, 1), record(3, id, byte(1)), record(3, id, byte(9), byte(1))} {
		_, err := decode(bad)
		require.Error(t, err, "%x", bad)
	}
}
