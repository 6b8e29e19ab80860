package operations

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leanvibe/hive/workflows/runbook"
)

// tokenOf makes tokens that grow, as the run IDs of locks do.
func tokenOf(n int) string { return fmt.Sprintf("0197a3c2-%04x-7000-8000-000000000000", n) }

func fence(resource string, n int) runbook.Fence {
	return runbook.Fence{Resource: resource, Token: tokenOf(n)}
}

func TestAnActWithoutAFenceIsRefused(t *testing.T) {
	for _, f := range []runbook.Fence{{}, {Resource: "proxy"}, {Token: tokenOf(1)}} {
		_, err := newGate().Enter(t.Context(), f)
		require.Equal(t, runbook.Refused, runbook.KindOf(err), "%+v", f)
	}
}

func TestAnOlderTokenIsRefusedForGood(t *testing.T) {
	g := newGate()
	leave, err := g.Enter(t.Context(), fence("proxy", 2))
	require.NoError(t, err)
	leave()
	_, err = g.Enter(t.Context(), fence("proxy", 1))
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	require.ErrorContains(t, err, tokenOf(1))
	require.ErrorContains(t, err, tokenOf(2))
	leave, err = g.Enter(t.Context(), fence("logs", 1))
	require.NoError(t, err, "another resource is another door")
	leave()
	leave, err = g.Enter(t.Context(), fence("proxy", 2))
	require.NoError(t, err, "the newest may act again")
	leave()
	leave()
	leave, err = g.Enter(t.Context(), fence("proxy", 3))
	require.NoError(t, err, "leaving twice is leaving once")
	leave()
}

func TestANewerTokenWaitsForTheOlderActAndShutsOutTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		leaveOld, err := g.Enter(t.Context(), fence("proxy", 1))
		require.NoError(t, err)

		var queued, newer atomic.Value
		var entered atomic.Bool
		go func() { // a second act of the old run, waiting behind the first
			_, err := g.Enter(t.Context(), fence("proxy", 1))
			queued.Store(err)
		}()
		synctest.Wait()
		go func() {
			leave, err := g.Enter(t.Context(), fence("proxy", 2))
			entered.Store(true)
			newer.Store(leave)
			if err != nil {
				panic(err)
			}
		}()
		synctest.Wait()
		require.False(t, entered.Load(), "the old act is still inside")
		leaveOld()
		synctest.Wait()
		require.True(t, entered.Load())
		err, _ = queued.Load().(error)
		require.Equal(t, runbook.Refused, runbook.KindOf(err), "what waited under the old token must not follow")
		newer.Load().(func())()
	})
}

func TestActsOfOneRunOnOneResourceTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		leave, err := g.Enter(t.Context(), fence("proxy", 1))
		require.NoError(t, err)
		var second atomic.Bool
		go func() {
			leave, err := g.Enter(t.Context(), fence("proxy", 1))
			if err != nil {
				panic(err)
			}
			second.Store(true)
			leave()
		}()
		synctest.Wait()
		require.False(t, second.Load())
		leave()
		synctest.Wait()
		require.True(t, second.Load())
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	g := newGate()
	leave, err := g.Enter(t.Context(), fence("proxy", 1))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = g.Enter(ctx, fence("proxy", 2))
	require.ErrorIs(t, err, context.Canceled)
	leave()
	leave, err = g.Enter(t.Context(), fence("proxy", 2))
	require.NoError(t, err, "nobody is left at the door")
	leave()
}

// TestNoTwoActsOverlap lets many acts of many runs at a few resources: never two at
// once on one, and never an older token after a newer one.
func TestNoTwoActsOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newGate()
		type arrival struct{ resource, token int }
		arrivals := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) arrival {
			return arrival{rapid.IntRange(0, 2).Draw(t, "resource"), rapid.IntRange(1, 6).Draw(t, "token")}
		}), 1, 60).Draw(t, "arrivals")
		var inside, newest [3]atomic.Int64
		var done sync.WaitGroup
		var acted, refused atomic.Int64
		for _, a := range arrivals {
			done.Go(func() {
				leave, err := g.Enter(context.Background(), fence(fmt.Sprint(a.resource), a.token))
				if err != nil {
					refused.Add(1)
					return
				}
				defer leave()
				defer inside[a.resource].Add(-1)
				if n := inside[a.resource].Add(1); n != 1 {
					t.Errorf("%d acts inside resource %d", n, a.resource)
				}
				if before := newest[a.resource].Swap(int64(a.token)); before > int64(a.token) {
					t.Errorf("token %d acted after %d", a.token, before)
				}
				acted.Add(1)
			})
		}
		done.Wait()
		if acted.Load()+refused.Load() != int64(len(arrivals)) || acted.Load() == 0 {
			t.Errorf("%d acted, %d refused of %d", acted.Load(), refused.Load(), len(arrivals))
		}
	})
}
