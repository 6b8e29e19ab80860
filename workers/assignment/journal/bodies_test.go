package journal

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/codec"
)

// kept answers the bodies of a partition, by name.
func kept(ctx context.Context, t require.TestingT, c redis.Cmdable, partition int) map[string]string {
	prefix := fmt.Sprintf("{p%d}:body:", partition)
	out := map[string]string{}
	keys, err := c.Keys(ctx, prefix+"*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		out[strings.TrimPrefix(key, prefix)], err = c.Get(ctx, key).Result()
		require.NoError(t, err)
	}
	return out
}

func put(name, text string) []Body { return []Body{{name, []byte(text)}} }

func TestBodiesComeAndGoWithTheirAppend(t *testing.T) {
	c := newServer(t).client(t)
	l := take(t, c, "a", 0)
	seq, err := l.AppendWith(t.Context(), one("1"), Bodies{Put: []Body{{"x", []byte("the x")}, {"y", []byte("the y")}}})
	require.NoError(t, err)
	require.NoError(t, l.Snapshot(t.Context(), seq, strings.NewReader("state")))
	got, err := l.Bodies(t.Context(), []string{"y", "none", "x"})
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("the y"), nil, []byte("the x")}, got, "neither snapshot nor trim has touched them")
	_, err = l.AppendWith(t.Context(), one("2"), Bodies{Put: put("z", "the z"), Drop: []string{"x", "none"}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"y": "the y", "z": "the z"}, kept(t.Context(), t, c, 0))

	require.NoError(t, c.Del(t.Context(), "{p0}:body:y").Err())
	require.NoError(t, c.HSet(t.Context(), "{p0}:body:y", "a", "b").Err())
	got, err = l.Bodies(t.Context(), []string{"y", "z"})
	require.NoError(t, err)
	require.Equal(t, [][]byte{nil, []byte("the z")}, got, "what is no body counts as none")

	_, err = l.AppendWith(t.Context(), one("3"), Bodies{Put: []Body{{"large", make([]byte, codec.MaxBytes+1)}}})
	require.ErrorContains(t, err, "want at most 8388608")
	_, err = l.Append(t.Context(), one("3"))
	require.NoError(t, err, "what was refused is not pending")
}

func TestFencedOwnerStoresAndDropsNoBody(t *testing.T) {
	c := newServer(t).client(t)
	a := take(t, c, "a", 0)
	_, err := a.AppendWith(t.Context(), one("1"), Bodies{Put: put("x", "the x")})
	require.NoError(t, err)
	b := takeWhenFree(t, c, "b", 0)
	_, err = a.AppendWith(t.Context(), one("lost"), Bodies{Put: put("y", "the y"), Drop: []string{"x"}})
	require.ErrorIs(t, err, ErrFenced)
	require.Equal(t, map[string]string{"x": "the x"}, kept(t.Context(), t, c, 0))

	got, err := a.Bodies(t.Context(), []string{"x"})
	require.NoError(t, err, "a body never changes: who finds it may have it")
	require.Equal(t, "the x", string(got[0]))
	_, err = b.AppendWith(t.Context(), one("2"), Bodies{Drop: []string{"x"}})
	require.NoError(t, err)
	_, err = a.Bodies(t.Context(), []string{"x"})
	require.ErrorIs(t, err, ErrFenced, "it cannot tell a loss from what the next owner has dropped")
}

func TestLostRepliesStoreBodiesOnce(t *testing.T) {
	s := newServer(t)
	p := newProxy(t, s.addr())
	c := redis.NewClient(&redis.Options{Addr: p.Addr().String(), MaxRetries: -1})
	defer c.Close()
	l := take(t, c, "a", 0)
	want := map[string]string{}
	for i := range 100 {
		name := fmt.Sprint(i)
		bodies := Bodies{Put: put(name, "body "+name)}
		want[name] = "body " + name
		if i >= 10 {
			bodies.Drop = []string{fmt.Sprint(i - 10)}
			delete(want, bodies.Drop[0])
		}
		p.cut.Store(i%2 == 0)
		_, err := l.AppendWith(t.Context(), one(name), bodies)
		require.NoError(t, err)
	}
	require.EqualValues(t, 50, p.cuts.Load())
	require.Equal(t, want, kept(t.Context(), t, s.client(t), 0))
}

// An append that Redis has never got keeps its bodies until it is resolved.
func TestResolveStoresBodies(t *testing.T) {
	s := newServer(t, fsyncAlways...)
	c := s.client(t)
	l := take(t, c, "a", 0)
	_, err := l.AppendWith(t.Context(), one("1"), Bodies{Put: put("x", "the x")})
	require.NoError(t, err)
	s.kill()
	gone, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = l.AppendWith(gone, one("2"), Bodies{Put: put("y", "the y"), Drop: []string{"x"}})
	require.ErrorIs(t, err, ErrUnknown)
	s.start(t)
	_, err = l.Resolve(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"y": "the y"}, kept(t.Context(), t, c, 0))
	_, got := contents(t, l)
	require.Equal(t, []string{"1", "2"}, got)
}

// A settled append is not repeated by a later resolve: its bodies have gone with it.
func TestResolveAfterTheReplyWasLost(t *testing.T) {
	c := newServer(t).client(t)
	l := take(t, c, "a", 0)
	l.link.replicas = 1
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := l.AppendWith(ctx, one("1"), Bodies{Put: put("x", "the x")})
		done <- err
	}()
	require.Eventually(t, func() bool { return c.Exists(t.Context(), "{p0}:body:x").Val() == 1 }, time.Minute, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, ErrUnknown)
	require.NoError(t, c.Del(t.Context(), "{p0}:body:x").Err()) // it would come back if it were written again
	l.link.replicas = 0
	_, err := l.Resolve(t.Context())
	require.NoError(t, err)
	require.Empty(t, kept(t.Context(), t, c, 0))
	require.Empty(t, l.bodies, "a settled append holds no memory")
}
