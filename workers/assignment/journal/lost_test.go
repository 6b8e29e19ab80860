package journal

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLostOwnerKeyIsNamed deletes the owner key under a running owner.
func TestLostOwnerKeyIsNamed(t *testing.T) {
	c := newServer(t).client(t)
	a := take(t, c, "a", 0)
	_, err := a.Append(t.Context(), one("1"))
	require.NoError(t, err)
	require.NoError(t, c.Del(t.Context(), a.owner).Err())

	_, appended := a.Append(t.Context(), one("2"))
	for call, err := range map[string]error{
		"append":   appended,
		"renew":    a.Renew(t.Context()),
		"release":  a.Release(t.Context()),
		"snapshot": a.Snapshot(t.Context(), 2, strings.NewReader("x")),
	} {
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt, call)
		require.Equal(t, "{p0}:owner", corrupt.Key, call)
		require.NotErrorIs(t, err, ErrFenced, call)
	}

	b := take(t, c, "b", 0)
	require.EqualValues(t, 2, b.Epoch())
	seq, err := b.Append(t.Context(), one("3"))
	require.NoError(t, err)
	require.EqualValues(t, 4, seq)
	_, err = a.Resolve(t.Context())
	require.ErrorIs(t, err, ErrFenced)
	_, got := contents(t, b)
	require.Equal(t, []string{"1", "3"}, got)

	// Lost again: the log now says that a later owner was there.
	require.NoError(t, c.Del(t.Context(), a.owner).Err())
	require.ErrorIs(t, a.Renew(t.Context()), ErrFenced)
}

func TestTakeoverAfterALostOwnerKey(t *testing.T) {
	c := newServer(t).client(t)
	a := take(t, c, "a", 0)
	seq, err := a.Append(t.Context(), one("1"))
	require.NoError(t, err)
	// All entries are trimmed: the snapshot alone tells the epoch.
	require.NoError(t, a.Snapshot(t.Context(), seq, strings.NewReader("state")))
	require.NoError(t, c.Del(t.Context(), a.owner).Err())
	b := take(t, c, "b", 0)
	require.EqualValues(t, 2, b.Epoch())
	require.Equal(t, seq+1, b.seq)
	snap, got := contents(t, b)
	require.Equal(t, "state", snap)
	require.Empty(t, got)

	for name, harm := range map[string]func() error{
		"the last entry too": func() error { return c.XDel(t.Context(), b.log, "3-0").Err() },
		"the log too":        func() error { return c.Del(t.Context(), b.log).Err() },
	} {
		require.NoError(t, harm())
		require.NoError(t, c.Del(t.Context(), b.owner).Err())
		_, err = Takeover(t.Context(), Options{Client: c, Name: "c", Lease: time.Second})
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt, name)
		require.Equal(t, "{p0}:log", corrupt.Key, name)
	}
}
