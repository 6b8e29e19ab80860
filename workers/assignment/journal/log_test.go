package journal

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func take(t testing.TB, c redis.UniversalClient, name string, replicas int) *Log {
	t.Helper()
	l, err := Takeover(t.Context(), Options{Client: c, Name: name, Lease: 200 * time.Millisecond, Replicas: replicas})
	require.NoError(t, err)
	t.Cleanup(l.Close)
	return l
}

// takeWhenFree waits for the lease to run out by Redis time.
func takeWhenFree(t testing.TB, c redis.UniversalClient, name string, replicas int) *Log {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		l, err := Takeover(ctx, Options{Client: c, Name: name, Lease: 200 * time.Millisecond, Replicas: replicas})
		if err == nil {
			t.Cleanup(l.Close)
			return l
		}
		var held *HeldError
		require.ErrorAs(t, err, &held)
		select {
		case <-ctx.Done():
			require.NoError(t, ctx.Err())
		case <-time.After(held.Left):
		}
	}
}

func one(s string) [][]byte { return [][]byte{[]byte(s)} }

// contents recovers the snapshot and what each record after it holds.
func contents(t testing.TB, l *Log) (snapshot string, records []string) {
	t.Helper()
	require.NoError(t, l.Recover(t.Context(), func(r io.Reader) error {
		b, err := io.ReadAll(r)
		snapshot = string(b)
		return err
	}, func(r Record) error {
		for _, b := range r.Records {
			records = append(records, string(b))
		}
		return nil
	}))
	return snapshot, records
}

func TestPausedOwnerIsFenced(t *testing.T) {
	c := newServer(t).client(t)
	a, err := Takeover(t.Context(), Options{Client: c, Name: "a", Lease: time.Hour})
	require.NoError(t, err)
	t.Cleanup(a.Close)
	_, err = a.Append(t.Context(), one("1"))
	require.NoError(t, err)

	_, err = Takeover(t.Context(), Options{Client: c, Name: "b", Lease: time.Second})
	var held *HeldError
	require.ErrorAs(t, err, &held)
	require.Equal(t, "a", held.Name)

	require.NoError(t, c.HSet(t.Context(), a.owner, "until", "1").Err()) // the hour is over
	b := takeWhenFree(t, c, "b", 0)
	require.Equal(t, a.Epoch()+1, b.Epoch())
	require.ErrorIs(t, a.Renew(t.Context()), ErrFenced)
	_, err = a.Append(t.Context(), one("lost"))
	require.ErrorIs(t, err, ErrFenced)
	require.ErrorIs(t, a.Snapshot(t.Context(), 2, strings.NewReader("x")), ErrFenced)
	require.ErrorIs(t, a.Release(t.Context()), ErrFenced)
	_, err = b.Append(t.Context(), one("2"))
	require.NoError(t, err)
	_, got := contents(t, b)
	require.Equal(t, []string{"1", "2"}, got)

	require.NoError(t, b.Release(t.Context()))
	require.Equal(t, b.Epoch()+1, take(t, c, "c", 0).Epoch())
}

func TestPausedOwnerIsFencedOnAppendAlone(t *testing.T) {
	c := newServer(t).client(t)
	a := take(t, c, "a", 0)
	takeWhenFree(t, c, "b", 0)
	_, err := a.Append(t.Context(), one("lost"))
	require.ErrorIs(t, err, ErrFenced)
}

func TestLostRepliesRepeatNothing(t *testing.T) {
	s := newServer(t)
	p := newProxy(t, s.addr())
	c := redis.NewClient(&redis.Options{Addr: p.Addr().String(), MaxRetries: -1})
	defer c.Close()
	p.cut.Store(true)
	l := take(t, c, "a", 0)
	require.EqualValues(t, 1, l.Epoch())
	var want []string
	for i := range 200 {
		if i%3 == 0 {
			p.cut.Store(true)
		}
		want = append(want, fmt.Sprint(i))
		_, err := l.Append(t.Context(), one(want[i]))
		require.NoError(t, err)
	}
	require.Greater(t, p.cuts.Load(), int64(60))
	_, got := contents(t, l)
	require.Equal(t, want, got)
}

func TestSnapshotTrimRecover(t *testing.T) {
	c := newServer(t).client(t)
	a := take(t, c, "a", 0)
	state := strings.Repeat("state.", chunkBytes/2)
	for i := range 100 {
		seq, err := a.Append(t.Context(), one(fmt.Sprint(i)))
		require.NoError(t, err)
		if i == 97 {
			require.NoError(t, a.Snapshot(t.Context(), seq, strings.NewReader(state)))
		}
	}
	require.EqualValues(t, 2, c.XLen(t.Context(), "{p0}:log").Val())
	snap, got := contents(t, takeWhenFree(t, c, "b", 0))
	require.Equal(t, state, snap)
	require.Equal(t, []string{"98", "99"}, got)
}

func TestDamageIsNamed(t *testing.T) {
	for name, harm := range map[string]func(context.Context, *redis.Client) error{
		"a missing entry": func(ctx context.Context, c *redis.Client) error { return c.XDel(ctx, "{p0}:log", "4-0").Err() },
		"a missing tail":  func(ctx context.Context, c *redis.Client) error { return c.XDel(ctx, "{p0}:log", "5-0").Err() },
		"a missing chunk": func(ctx context.Context, c *redis.Client) error { return c.HDel(ctx, "{p0}:snap", "0").Err() },
		"a changed chunk": func(ctx context.Context, c *redis.Client) error {
			return c.HSet(ctx, "{p0}:snap", "0", "other bytes").Err()
		},
		"a changed head": func(ctx context.Context, c *redis.Client) error { return c.HSet(ctx, "{p0}:snap", "epoch", "0").Err() },
	} {
		t.Run(name, func(t *testing.T) {
			c := newServer(t).client(t)
			l := take(t, c, "a", 0)
			for i := range 4 {
				seq, err := l.Append(t.Context(), one(fmt.Sprint(i)))
				require.NoError(t, err)
				if i == 0 {
					require.NoError(t, l.Snapshot(t.Context(), seq, strings.NewReader("state")))
				}
			}
			require.NoError(t, harm(t.Context(), c))
			err := l.Recover(t.Context(), func(io.Reader) error { return nil }, func(Record) error { return nil })
			var corrupt *CorruptError
			require.ErrorAs(t, err, &corrupt)
		})
	}
}

// TestKillsOfOneNode kills Redis at random moments of a stream of appends.
func TestKillsOfOneNode(t *testing.T) {
	s := newServer(t, fsyncAlways...)
	c := s.client(t)
	l := take(t, c, "a", 0)
	said, err := l.Durability(t.Context())
	require.NoError(t, err)
	require.Equal(t, "append-only file, fsync always", said)
	var want []string
	for range 100 {
		stop := make(chan struct{})
		acked := make(chan []string)
		from := len(want)
		go func() {
			var mine []string
			for {
				select {
				case <-stop:
					acked <- mine
					return
				default:
				}
				text := fmt.Sprint(from + len(mine))
				if _, err := l.Append(t.Context(), one(text)); err != nil {
					t.Error(err)
					<-stop
					acked <- mine
					return
				}
				mine = append(mine, text)
			}
		}()
		<-time.After(time.Duration(rand.IntN(20000)) * time.Microsecond) // the random moment
		s.kill()
		s.start(t)
		close(stop)
		want = append(want, <-acked...)
	}
	require.NotEmpty(t, want)
	t.Logf("%d appends acknowledged over 100 kills", len(want))
	_, got := contents(t, takeWhenFree(t, c, "b", 0))
	require.Equal(t, want, got)
}

func TestWithoutReplicaNothingIsAcknowledged(t *testing.T) {
	c := newServer(t).client(t)
	l := take(t, c, "a", 0)
	l.link.replicas = 1
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	_, err := l.Append(ctx, one("1"))
	require.ErrorIs(t, err, ErrUnknown)
	_, err = l.Append(t.Context(), one("2"))
	require.ErrorIs(t, err, ErrPending)

	// The replica is back, in effect: the same sequence settles, once.
	l.link.replicas = 0
	seq, err := l.Resolve(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, seq)
	_, err = l.Resolve(t.Context())
	require.ErrorIs(t, err, ErrNothingPending)
	_, got := contents(t, l)
	require.Equal(t, []string{"1"}, got)
}
