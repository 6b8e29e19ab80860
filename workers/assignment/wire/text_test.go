package wire

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

func TestIDs_AreWhatStringAnswers(t *testing.T) {
	ids := []partition.TaskID{{}, uuid.Max, uuid.Must(uuid.NewV7()), uuid.New()}
	texts := IDs(len(ids), func(i int) partition.TaskID { return ids[i] })
	require.Len(t, texts, len(ids))
	for i, id := range ids {
		require.Equal(t, id.String(), texts[i])
	}
	require.Empty(t, IDs(0, nil))
}
