package journal

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestALostOwnerKeyIsDamageAndNoOtherOwner(t *testing.T) {
	for _, trimmed := range []bool{false, true} {
		t.Run(fmt.Sprintf("log trimmed %v", trimmed), func(t *testing.T) {
			c := newServer(t).client(t)
			a := take(t, c, "a", 0)
			var last uint64
			for i := range 3 {
				seq, err := a.Append(t.Context(), one(fmt.Sprint(i)))
				require.NoError(t, err)
				last = seq
			}
			if trimmed {
				require.NoError(t, a.Snapshot(t.Context(), last, strings.NewReader("state")))
				require.Zero(t, c.XLen(t.Context(), "{p0}:log").Val())
			}
			require.NoError(t, c.Del(t.Context(), "{p0}:owner").Err())

			_, err := a.Append(t.Context(), one("more"))
			var corrupt *CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.Equal(t, "{p0}:owner", corrupt.Key)
			require.ErrorAs(t, a.Renew(t.Context()), &corrupt)
			require.ErrorAs(t, a.Snapshot(t.Context(), last, strings.NewReader("x")), &corrupt)

			b := take(t, c, "b", 0)
			require.Greater(t, b.Epoch(), a.Epoch(), "an epoch is given once")
			require.Equal(t, last+1, b.first, "a sequence is given once")
			_, err = a.Resolve(t.Context())
			require.ErrorIs(t, err, ErrFenced)
			state, got := contents(t, b)
			if trimmed {
				require.Equal(t, "state", state)
				require.Empty(t, got)
			} else {
				require.Equal(t, []string{"0", "1", "2"}, got)
			}
		})
	}
}

func TestWhatRedisRefusesForGoodIsToldAtOnce(t *testing.T) {
	c := newServer(t).client(t)
	l := take(t, c, "a", 0)
	require.NoError(t, c.Set(t.Context(), "{p0}:log", "somebody else's", 0).Err())
	_, err := l.Append(t.Context(), one("1"))
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	require.ErrorContains(t, err, "WRONGTYPE")
	require.ErrorContains(t, err, "{p0}:owner")
	require.ErrorAs(t, l.Recover(t.Context(), func(io.Reader) error { return nil }, func(Record) error { return nil }), &refused)

	require.NoError(t, c.Do(t.Context(), "ACL", "SETUSER", "nobody", "on", ">x").Err())
	nobody := redis.NewClient(&redis.Options{Addr: c.Options().Addr, Username: "nobody", Password: "x", MaxRetries: -1})
	defer nobody.Close()
	_, err = Takeover(t.Context(), Options{Client: nobody, Name: "a", Lease: time.Second})
	require.ErrorAs(t, err, &refused)
	require.ErrorContains(t, err, "NOPERM")
}

func TestARedisWithoutMemoryIsWaitedFor(t *testing.T) {
	c := newServer(t).client(t)
	l := take(t, c, "a", 0)
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "1").Err())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := l.Append(ctx, one("1"))
	require.ErrorIs(t, err, ErrUnknown)
	require.ErrorContains(t, err, "OOM")
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "0").Err())
	_, err = l.Resolve(t.Context())
	require.NoError(t, err)
	_, got := contents(t, l)
	require.Equal(t, []string{"1"}, got)
}

// An append that waits for a replica, for as long as it takes, costs no lease.
func TestRenewDoesNotWaitForAnAppend(t *testing.T) {
	c := newServer(t).client(t)
	l := take(t, c, "a", 0)
	l.link.replicas = 1
	ctx, cancel := context.WithCancel(t.Context())
	appended := make(chan error, 1)
	go func() {
		_, err := l.Append(ctx, one("1"))
		appended <- err
	}()
	require.Eventually(t, func() bool { return c.XLen(t.Context(), "{p0}:log").Val() == 2 }, time.Minute, time.Millisecond)
	before, err := c.HGet(t.Context(), "{p0}:owner", "until").Int64()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		require.NoError(t, l.Renew(t.Context()))
		until, err := c.HGet(t.Context(), "{p0}:owner", "until").Int64()
		return err == nil && until > before
	}, time.Minute, time.Millisecond)
	select {
	case err := <-appended:
		t.Fatalf("the append ended meanwhile: %v", err)
	default:
	}
	cancel()
	require.ErrorIs(t, <-appended, ErrUnknown)
}

func TestRecoverOutlivesItsConnection(t *testing.T) {
	s := newServer(t, fsyncAlways...)
	l := take(t, s.client(t), "a", 0)
	seq, err := l.Append(t.Context(), one("1"))
	require.NoError(t, err)
	require.NoError(t, l.Snapshot(t.Context(), seq, strings.NewReader("state")))
	_, err = l.Append(t.Context(), one("2"))
	require.NoError(t, err)
	s.kill()
	s.start(t)
	state, got := contents(t, l)
	require.Equal(t, "state", state)
	require.Equal(t, []string{"2"}, got)
}

func TestSequencesEndWhereRedisStopsCountingExactly(t *testing.T) {
	c := newServer(t).client(t)
	require.NoError(t, c.HSet(t.Context(), "{p0}:owner", "epoch", 7, "seq", uint64(maxSeq-2)).Err())
	require.NoError(t, c.XAdd(t.Context(), &redis.XAddArgs{Stream: "{p0}:log", ID: fmt.Sprintf("%d-0", uint64(maxSeq-2)), Values: []any{"e", 7}}).Err())
	l := take(t, c, "a", 0)
	require.EqualValues(t, maxSeq-1, l.first)
	seq, err := l.Append(t.Context(), one("the last"))
	require.NoError(t, err)
	require.EqualValues(t, maxSeq, seq)
	_, err = l.Append(t.Context(), one("one more"))
	var corrupt *CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.ErrorContains(t, err, "last sequence")
	require.NoError(t, l.Release(t.Context()))
	_, err = Takeover(t.Context(), Options{Client: c, Name: "b", Lease: time.Second})
	require.ErrorAs(t, err, &corrupt)
}
