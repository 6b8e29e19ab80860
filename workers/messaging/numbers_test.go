package messaging

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/frame"
	"github.com/leanvibe/hive/workers/process/rediscluster"
	"github.com/leanvibe/hive/workers/redistest"
)

// numbers sends one message a number to a mailbox and answers the script's words.
type numbers struct {
	store *store
	node  *redis.Client
	to    string
}

func newNumbers(t *testing.T) *numbers {
	t.Helper()
	client := rediscluster.New([]string{redistest.Addr(t)}, "")
	t.Cleanup(func() { _ = client.Close() })
	n := &numbers{store: &store{redis: client}, to: unique("to")}
	var err error
	n.node, err = n.store.node(t.Context(), n.to)
	require.NoError(t, err)
	require.NoError(t, roundScript.Load(t.Context(), n.node).Err())
	return n
}

func (n *numbers) send(t *testing.T, chunks ...*chunk) *posting {
	t.Helper()
	p := &posting{box: &box{address: n.to}, chunks: chunks}
	n.store.commit(t.Context(), n.node, []*posting{p})
	require.NoError(t, p.err)
	return p
}

func (n *numbers) chunk(from string, seq uint64) *chunk {
	return &chunk{
		to: n.to, from: from, producer: "p", sender: senderOf(from, "p"), seq: seq, count: 1,
		messages: frame.AppendMessage(nil, "", []byte("1")), taken: time.Now(),
	}
}

// later moves the mailbox's clock into the next generation.
func (n *numbers) later(t *testing.T) {
	t.Helper()
	ms, err := n.node.HGet(t.Context(), stateKey(n.to), "ms").Int64()
	require.NoError(t, err)
	require.NoError(t, n.node.HSet(t.Context(), stateKey(n.to), "ms", ms+mailboxKeep.Milliseconds()).Err())
}

func TestNumbers_AreKnownInTheNextGenerationAndDroppedAfterIt(t *testing.T) {
	n := newNumbers(t)
	require.Empty(t, n.send(t, n.chunk("a", 1), n.chunk("b", 1)).said)
	n.later(t)
	require.Equal(t, []string{"duplicate ", "gap 1"}, n.send(t, n.chunk("a", 1), n.chunk("b", 3)).said)
	require.Empty(t, n.send(t, n.chunk("a", 2)).said)
	for _, generation := range []string{"0", "1"} {
		require.Positive(t, n.node.PTTL(t.Context(), numbersKey(n.to, generation)).Val())
	}
}

func TestNumbers_OfAVersionBeforeGenerationsAreKnown(t *testing.T) {
	n := newNumbers(t)
	require.NoError(t, n.node.Set(t.Context(), "hub:{"+n.to+"}:from:a:p", 5, time.Minute).Err())
	require.Equal(t, []string{"duplicate ", "stored"}, n.send(t, n.chunk("a", 5), n.chunk("a", 6)).said)
}

func TestNumbers_OneSenderManyTimesInARound(t *testing.T) {
	n := newNumbers(t)
	p := n.send(t, n.chunk("a", 1), n.chunk("a", 1), n.chunk("b", 1), n.chunk("a", 2), n.chunk("b", 3))
	require.Equal(t, []string{"stored", "duplicate ", "stored", "stored", "gap 1"}, p.said)
	require.Equal(t, p.prev.N+3, p.cursor.N)
	require.Equal(t, []string{"duplicate ", "duplicate "}, n.send(t, n.chunk("a", 2), n.chunk("b", 1)).said)
}

// Beyond what one command of the script takes, and beyond what Redis keeps as a list.
func TestNumbers_ManySenders(t *testing.T) {
	n := newNumbers(t)
	var first, second []*chunk
	for i := range 2500 {
		first = append(first, n.chunk("a"+strconv.Itoa(i), 1))
		second = append(second, n.chunk("a"+strconv.Itoa(i), 2))
	}
	require.Empty(t, n.send(t, first...).said)
	require.Empty(t, n.send(t, second...).said)
	again := n.send(t, slices.Concat(first[:1200], second[1200:])...)
	require.Len(t, again.said, len(first))
	require.Equal(t, []string{"duplicate "}, slices.Compact(again.said))
}

func TestRound_IDsBesideNumbers(t *testing.T) {
	n := newNumbers(t)
	letter := func(body string) *chunk {
		return (&letter{From: "c", To: n.to, ID: "same", Body: []byte(body)}).chunk()
	}
	p := n.send(t, letter("1"), n.chunk("a", 1), letter("1"), letter("2"))
	require.Equal(t, uint64(1), p.chunks[0].seq)
	require.Equal(t, []string{"stored", "stored", "duplicate " + p.cursor.String(), "conflict"}, p.said)
	found, errs := n.store.fetch(t.Context(), []position{{address: n.to}})
	require.NoError(t, errs[0])
	require.Len(t, found[0], 1)
	require.Equal(t, uint64(2), found[0][0].count)
}
