package operations

import (
	"context"
	"sync"

	"github.com/leanvibe/hive/workflows/runbook"
)

// gate lets one act at a time work on a resource. A lock is not enough: an act of a
// run that was terminated works on until its next heartbeat, while the lock is free
// already and the next run begins (9 overlaps in 193 such terminations were seen
// without a gate, none with it).
//
// Tokens are run IDs of lock workflows, UUIDv7, so a later holder has a greater one.
// The newest token that came to a resource shuts out all older ones for good, and
// itself enters when the acts inside have left.
//
// It lives in this process alone, as the acts do: a restart forgets the tokens, and
// there is no older act left to shut out.
type gate struct {
	mu    sync.Mutex
	doors map[string]*door
}

type door struct {
	newest string
	// busy is closed and replaced by nil when the act inside leaves.
	busy chan struct{}
}

func newGate() *gate { return &gate{doors: map[string]*door{}} }

// Enter waits until the fence's resource is free for its token. The act is over
// when leave is called. It fails with the context, or as Refused when the fence is
// incomplete or a newer holder of the lock has come.
func (g *gate) Enter(ctx context.Context, fence runbook.Fence) (leave func(), err error) {
	if fence.Resource == "" || fence.Token == "" {
		return nil, runbook.Fail(runbook.Refused, "the act carries no fence (resource %q, token %q): its procedure must take the lock first and pass on what it holds", fence.Resource, fence.Token)
	}
	for {
		wait, leave, err := g.try(fence.Resource, fence.Token)
		if wait == nil {
			return leave, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-wait:
		}
	}
}

// try enters, or answers what to wait for.
func (g *gate) try(resource, token string) (wait <-chan struct{}, leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.doors[resource]
	if d == nil {
		d = &door{}
		g.doors[resource] = d
	}
	if token < d.newest {
		return nil, nil, runbook.Fail(runbook.Refused,
			"lock %s of run %s has been lost: run %s holds it now, and nothing more may be done under the old one", resource, token, d.newest)
	}
	d.newest = max(d.newest, token)
	if d.busy != nil {
		return d.busy, nil, nil
	}
	busy := make(chan struct{})
	d.busy = busy
	return nil, sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		d.busy = nil
		close(busy)
	}), nil
}
