package place

import (
	"hash/fnv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestOf_IsFNV1a(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		queue, partitions := rapid.String().Draw(t, "queue"), rapid.IntRange(1, 1<<15).Draw(t, "partitions")
		h := fnv.New32a()
		_, err := h.Write([]byte(queue))
		require.NoError(t, err)
		require.Equal(t, int(h.Sum32()%uint32(partitions)), Of(queue, partitions))
	})
}

// What is in Redis lies where these say.
func TestOf_NeverChanges(t *testing.T) {
	for queue, want := range map[string]int{"": 1, "reports": 0, "mail": 2, "alarms": 3} {
		require.Equal(t, want, Of(queue, 4), queue)
	}
}
