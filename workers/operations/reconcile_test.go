package operations

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/workflows/runbook"
)

// shipped is a project directory with the files that we ship.
func shipped(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{policy.ComposeFile, policy.RunbookFile} {
		body, err := os.ReadFile(filepath.Join("..", "..", file))
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), body, 0o644))
	}
	return dir
}

func siteOf(dir string) *site {
	return &site{hand: policy.Hand{ProjectDir: dir, Hash: docker.Hash, Untranslated: docker.Untranslated}}
}

// world is what a reconciler sees and does, in memory.
type world struct {
	mu         sync.Mutex
	containers []runbook.Container
	routed     map[string][]string
	held       bool  // a run holds the proxy's lock
	failing    error // of the proxy
	token      int

	done     deeds
	messages chan events.Message
	failed   chan error
	filter   events.ListOptions
}

// deeds are what a reconciler has done.
type deeds struct {
	looks, locks, released, listened int
	given                            []map[string][]string
}

func (w *world) seen() deeds {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done
}

func newWorld() *world {
	return &world{
		messages: make(chan events.Message, 16), failed: make(chan error, 1),
		containers: []runbook.Container{
			replica("nginx", 1, "10.231.0.2"), replica("universal-orchestrator", 1, "10.231.16.1"), replica("universal-orchestrator", 2, "10.231.16.2"),
			replica("communication-hub", 1, "10.231.16.3"), replica("postgres-primary", 1, "10.231.0.20"),
		},
		routed: map[string][]string{
			"universal-orchestrator": {"10.231.16.2:8081", "10.231.16.1:8081"}, "communication-hub": {"10.231.16.3:8082"},
		},
	}
}

func replica(service string, number int, address string) runbook.Container {
	return runbook.Container{Service: service, Number: number, Address: address, State: "running"}
}

func (w *world) Events(_ context.Context, o events.ListOptions) (<-chan events.Message, <-chan error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done.listened++
	w.filter = o
	return w.messages, w.failed
}

func (w *world) reconciler(t *testing.T, g *gate) *reconciler {
	return &reconciler{
		site: siteOf(shipped(t)), engine: w, gate: g, log: quiet,
		census: func(context.Context, runbook.CensusInput) (runbook.Census, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.done.looks++
			return runbook.Census{Containers: append([]runbook.Container(nil), w.containers...)}, nil
		},
		observe: func(context.Context, runbook.ProxyInput) (runbook.ProxyState, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return runbook.ProxyState{Upstreams: w.routed}, nil
		},
		lock: func(context.Context) (proxyLock, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.held {
				return proxyLock{}, errHeld
			}
			w.done.locks++
			w.token++
			return proxyLock{fence("proxy", w.token), func(ctx context.Context) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.done.released++
				return ctx.Err()
			}}, nil
		},
		reconcile: func(_ context.Context, _ runbook.ProxyInput, live map[string][]string) (map[string]runbook.ProxyChange, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.failing != nil {
				return nil, w.failing
			}
			w.done.given = append(w.done.given, live)
			w.routed = live
			return nil, nil
		},
	}
}

func (w *world) set(change func()) { w.mu.Lock(); defer w.mu.Unlock(); change() }

func (w *world) die(service string) {
	w.messages <- events.Message{Action: events.ActionDie, Actor: events.Actor{Attributes: map[string]string{serviceLabel: service}}}
}

// reconciling runs the reconciler in a bubble.
func reconciling(t *testing.T, w *world, g *gate, then func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		r := w.reconciler(t, g)
		ctx, cancel := context.WithCancel(t.Context())
		// The channels must belong to the bubble.
		w.messages, w.failed = make(chan events.Message, 16), make(chan error, 1)
		var running sync.WaitGroup
		running.Go(func() { r.run(ctx) })
		synctest.Wait()
		then(t)
		cancel()
		running.Wait()
		require.Equal(t, w.seen().locks, w.seen().released, "each lock is given back")
	})
}

func TestTheFirstLookIsThorough(t *testing.T) {
	w := newWorld()
	reconciling(t, w, newGate(), func(t *testing.T) {
		require.Equal(t, 1, w.seen().locks)
		require.Equal(t, []map[string][]string{{
			"universal-orchestrator": {"10.231.16.1:8081", "10.231.16.2:8081"}, "communication-hub": {"10.231.16.3:8082"},
		}}, w.seen().given)
		require.True(t, w.filter.Filters.ExactMatch("label", "com.docker.compose.project=leanvibe"))
		require.True(t, w.filter.Filters.ExactMatch("event", "die"))
		require.True(t, w.filter.Filters.ExactMatch("event", "start"))
	})
}

func TestADeadReplicaIsTakenOut(t *testing.T) {
	w := newWorld()
	reconciling(t, w, newGate(), func(t *testing.T) {
		w.set(func() { w.containers = append(w.containers[:2:2], w.containers[3:]...) })
		for range 5 { // a restart loop is one disturbance
			w.die("universal-orchestrator")
		}
		synctest.Wait()
		require.Len(t, w.seen().given, 1, "the disturbance may go on")
		pass(settle)
		synctest.Wait()
		require.Len(t, w.seen().given, 2)
		require.Equal(t, []string{"10.231.16.1:8081"}, w.seen().given[1]["universal-orchestrator"])
		require.Equal(t, 2, w.seen().locks)
	})
}

func TestNothingToDoTakesNoLock(t *testing.T) {
	w := newWorld()
	reconciling(t, w, newGate(), func(t *testing.T) {
		looks := w.seen().looks
		w.die("postgres-primary")
		pass(time.Minute)
		synctest.Wait()
		require.Equal(t, looks, w.seen().looks, "the proxy does not route to a store")
		w.die("universal-orchestrator") // and is back with its address
		pass(settle)
		synctest.Wait()
		require.Greater(t, w.seen().looks, looks)
		require.Equal(t, 1, w.seen().locks)
	})
}

func TestARunThatHoldsTheLockGoesFirst(t *testing.T) {
	w := newWorld()
	w.held = true
	reconciling(t, w, newGate(), func(t *testing.T) {
		pass(10 * time.Minute)
		synctest.Wait()
		require.Empty(t, w.seen().given)
		w.set(func() { w.held = false })
		pass(againAfter)
		synctest.Wait()
		require.Len(t, w.seen().given, 1, "what the run left is looked at")
	})
}

func TestAnActInsideTheGateEndsFirst(t *testing.T) {
	w := newWorld()
	w.token = 7
	g := newGate()
	// The act of a run that was terminated: its lock is free, it still works.
	synctest.Test(t, func(t *testing.T) {
		r := w.reconciler(t, g)
		leave, err := g.Enter(t.Context(), fence("proxy", 7))
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- r.once(t.Context()) }()
		synctest.Wait()
		require.Empty(t, w.seen().given)
		leave()
		require.NoError(t, <-ended)
		require.Len(t, w.seen().given, 1)
		_, err = g.Enter(t.Context(), fence("proxy", 7))
		require.Equal(t, runbook.Refused, runbook.KindOf(err), "and nothing of it follows")
	})
}

func TestWithoutAProxyThereIsNothingToReconcile(t *testing.T) {
	w := newWorld()
	proxy := w.containers[0]
	w.containers[0].State = "exited"
	reconciling(t, w, newGate(), func(t *testing.T) {
		pass(time.Hour)
		synctest.Wait()
		require.Equal(t, 0, w.seen().locks)
		w.set(func() { w.containers[0] = proxy })
		w.die("nginx")
		pass(settle)
		synctest.Wait()
		require.Len(t, w.seen().given, 1)
	})
}

func TestWhatGoesOnFailingIsTriedLessOften(t *testing.T) {
	w := newWorld()
	w.failing = runbook.Fail(runbook.Refused, "nginx -t says no")
	reconciling(t, w, newGate(), func(t *testing.T) {
		pass(time.Hour)
		synctest.Wait()
		require.Less(t, w.seen().locks, 20)
		require.Greater(t, w.seen().locks, 10)
		w.set(func() { w.failing = nil })
		pass(againMax)
		synctest.Wait()
		require.Len(t, w.seen().given, 1)
	})
}

func TestAnEngineThatCameBackIsListenedToAndLookedAt(t *testing.T) {
	w := newWorld()
	reconciling(t, w, newGate(), func(t *testing.T) {
		w.set(func() { w.containers = w.containers[:2] }) // unseen, while the engine is away
		w.failed <- errors.New("unexpected EOF")
		pass(againAfter)
		synctest.Wait()
		require.Equal(t, 2, w.seen().listened)
		require.Len(t, w.seen().given, 2)
		require.Equal(t, map[string][]string{"universal-orchestrator": {"10.231.16.1:8081"}, "communication-hub": nil}, w.seen().given[1])
	})
}
