package journal

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSlowAppendKeepsTheLease has an append wait for a replica that never comes.
func TestSlowAppendKeepsTheLease(t *testing.T) {
	c := newServer(t).client(t)
	l := take(t, c, "a", 0)
	l.link.replicas = 1
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := l.Append(ctx, one("1"))
		done <- err
	}()
	require.Eventually(t, func() bool { return c.XLen(t.Context(), l.log).Val() == 2 }, time.Minute, time.Millisecond)
	require.NoError(t, c.HSet(t.Context(), l.owner, "until", "0").Err())
	require.NoError(t, l.Renew(t.Context()))
	select {
	case err := <-done:
		require.Fail(t, "the append ended before the renewal", "%v", err)
	default:
	}
	require.NotEqual(t, "0", c.HGet(t.Context(), l.owner, "until").Val())
	cancel()
	require.ErrorIs(t, <-done, ErrUnknown)
}

// TestNumbersStayExact goes up to the last sequence and epoch that are exact in Lua.
func TestNumbersStayExact(t *testing.T) {
	c := newServer(t).client(t)
	require.NoError(t, c.HSet(t.Context(), "{p0}:owner", "epoch", "7", "seq", "9007199254740988").Err())
	l := take(t, c, "a", 0)
	for want := uint64(maxExact - 1); want <= maxExact; want++ {
		seq, err := l.Append(t.Context(), one("1"))
		require.NoError(t, err)
		require.Equal(t, want, seq)
	}
	_, err := l.Append(t.Context(), one("2"))
	require.ErrorIs(t, err, ErrExhausted)
	require.NoError(t, l.Release(t.Context()))
	opts := Options{Client: c, Name: "b", Lease: time.Second}
	_, err = Takeover(t.Context(), opts)
	require.ErrorIs(t, err, ErrExhausted)

	require.NoError(t, c.HSet(t.Context(), "{p0}:owner", "epoch", "9007199254740991", "seq", "1").Err())
	_, err = Takeover(t.Context(), opts)
	require.ErrorIs(t, err, ErrExhausted)
}
