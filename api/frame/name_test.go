package frame

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNames_Valid(t *testing.T) {
	long := strings.Repeat("a", NameMost)
	for _, good := range []string{"a", "Z9", "worker-1", "0.b_c-d", long} {
		require.True(t, ValidAgent(good), good)
		require.True(t, ValidTopic(TopicPrefix+good), good)
		require.False(t, ValidTopic(good), good)
	}
	for _, bad := range []string{"", "-a", ".a", "_a", "a b", "a:b", "topic:a", "ä", "a\n", "a{", long + "a"} {
		require.False(t, ValidAgent(bad), bad)
		require.False(t, ValidTopic(TopicPrefix+bad), bad)
	}
	require.True(t, ValidProducer("-x.1"))
	for _, bad := range []string{"", "a:b", long} {
		require.False(t, ValidProducer(bad), bad)
	}
	require.True(t, ValidID("") && ValidID([]byte("order-17~!")))
	for _, bad := range []string{" ", "a b", "a\x7f", "ä", strings.Repeat("a", 201)} {
		require.False(t, ValidID(bad), bad)
	}
}

func TestNames_KeptOnceAndBounded(t *testing.T) {
	var n Names
	b := AppendItem(nil, &Item{Op: OpSent, Address: "agent", Producer: "producer"})
	var it Item
	var err error
	require.Zero(t, testing.AllocsPerRun(100, func() { it, _, err = n.NextItem(b) }))
	require.NoError(t, err)
	require.Equal(t, "agent", it.Address)
	require.Equal(t, "producer", it.Producer)
	for i := range 3 * namesMost {
		name := []byte{'a', byte(i >> 8), byte(i)}
		require.Equal(t, string(name), n.of(name))
	}
	require.LessOrEqual(t, len(n.known), namesMost)
}
