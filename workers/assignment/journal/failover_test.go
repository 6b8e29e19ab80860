package journal

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/redistest"
)

// bodiesKept is how many appends later a body is dropped.
const bodiesKept = 20

func bodyOf(text string) string { return strings.Repeat("body "+text+" ", 500) }

// failovers is how often the master is killed: each takes some five seconds. HIVE_FAILOVERS asks for more, for example 100.
func failovers(t *testing.T) int {
	said := os.Getenv("HIVE_FAILOVERS")
	if said == "" {
		return 5
	}
	n, err := strconv.Atoi(said)
	require.NoError(t, err)
	return n
}

// TestFailoverLosesNothingAcknowledged kills the partition's master again and
// again under a stream of appends that one replica must confirm.
func TestFailoverLosesNothingAcknowledged(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes of failovers")
	}
	cluster := redistest.NewCluster(t)
	c := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: cluster.Addrs(), ClusterStateReloadInterval: 500 * time.Millisecond, DialTimeout: 200 * time.Millisecond,
		DialerRetries: 1, ReadTimeout: time.Second, WriteTimeout: time.Second,
	})
	defer c.Close()
	slot, err := c.ClusterKeySlot(t.Context(), "{p0}:owner").Result()
	require.NoError(t, err)
	l := take(t, c, "a", 1)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var acknowledged atomic.Int64
	type outcome struct {
		want []string
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		var out outcome
		for ctx.Err() == nil && out.err == nil {
			text := fmt.Sprint(len(out.want))
			bodies := Bodies{Put: put(text, bodyOf(text)), Drop: []string{fmt.Sprint(len(out.want) - bodiesKept)}}
			if _, out.err = l.AppendWith(t.Context(), one(text), bodies); out.err == nil {
				out.want = append(out.want, text)
				acknowledged.Add(1)
			}
		}
		done <- out
	}()
	for n := range failovers(t) {
		before := acknowledged.Load()
		require.Eventually(t, func() bool { return acknowledged.Load() > before+20 }, time.Minute, time.Millisecond, "no appends before kill %d", n)
		cluster.KillMaster(t, int(slot))
		cluster.Synced(t, int(slot))
	}
	cancel()
	out := <-done
	require.NoError(t, out.err)
	t.Logf("%d appends acknowledged over %d failovers", len(out.want), failovers(t))
	b := takeWhenFree(t, c, "b", 1)
	_, got := contents(t, b)
	require.Equal(t, out.want, got)
	last := out.want[len(out.want)-bodiesKept:]
	bodies, err := b.Bodies(t.Context(), last)
	require.NoError(t, err)
	for i, text := range last {
		require.Equal(t, bodyOf(text), string(bodies[i]))
	}
	master, err := c.MasterForKey(t.Context(), "{p0}:owner")
	require.NoError(t, err)
	require.Len(t, kept(t.Context(), t, master, 0), bodiesKept)
}
