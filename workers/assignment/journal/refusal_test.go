package journal

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestFinalRefusalsComeAtOnce(t *testing.T) {
	for name, harm := range map[string]func(*Log, *redis.Client) error{
		"WRONGTYPE": func(l *Log, c *redis.Client) error { return c.Set(t.Context(), l.owner, "x", 0).Err() },
		"NOPERM": func(_ *Log, c *redis.Client) error {
			return c.Do(t.Context(), "acl", "setuser", "default", "-evalsha", "-eval").Err()
		},
		"ERR Error": func(l *Log, c *redis.Client) error { return c.HSet(t.Context(), l.owner, "seq", "no number").Err() },
	} {
		t.Run(name, func(t *testing.T) {
			c := newServer(t).client(t)
			l := take(t, c, "a", 0)
			require.NoError(t, harm(l, c))
			// Were it repeated, it would end with the test's own deadline only.
			_, err := l.Append(t.Context(), one("1"))
			var refused *RefusedError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, "{p0}:owner", refused.Key)
			require.NotEmpty(t, refused.Way)
			require.NotErrorIs(t, err, ErrUnknown)
		})
	}
}

func TestPassingRefusalsAreRepeated(t *testing.T) {
	c := newServer(t).client(t)
	l := take(t, c, "a", 0)
	for name, value := range map[string][2]string{
		"min-replicas-to-write": {"1", "0"},
	} {
		require.NoError(t, c.ConfigSet(t.Context(), name, value[0]).Err())
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := l.Append(ctx, one(name))
		cancel()
		require.ErrorIs(t, err, ErrRefusing, name)
		require.ErrorIs(t, err, ErrUnknown, name)
		require.NoError(t, c.ConfigSet(t.Context(), name, value[1]).Err())
		_, err = l.Resolve(t.Context())
		require.NoError(t, err, name)
	}
	_, got := contents(t, l)
	require.ElementsMatch(t, []string{"min-replicas-to-write"}, got)
}

// What was accepted can be finished when Redis is full: whoever owns the partition sees to
// it that nothing new is accepted.
func TestAppendsThoughRedisIsFull(t *testing.T) {
	c := newServer(t).client(t)
	l := take(t, c, "a", 0)
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "1").Err())
	require.Error(t, c.Set(t.Context(), "other", "x", time.Minute).Err())
	_, err := l.Append(t.Context(), one("result"))
	require.NoError(t, err)
	require.NoError(t, l.Renew(t.Context()))
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "0").Err())
	_, got := contents(t, l)
	require.Equal(t, []string{"result"}, got)
}

func TestRecoverConnectsAnew(t *testing.T) {
	s := newServer(t)
	p := newProxy(t, s.addr())
	c := redis.NewClient(&redis.Options{Addr: p.Addr().String(), MaxRetries: -1})
	defer c.Close()
	l := take(t, c, "a", 0)
	_, err := l.Append(t.Context(), one("1"))
	require.NoError(t, err)
	p.cut.Store(true)
	var got int
	require.NoError(t, l.Recover(t.Context(), func(io.Reader) error { return nil }, func(Record) error { got++; return nil }))
	require.EqualValues(t, 1, p.cuts.Load())
	require.Equal(t, 2, got)
}
