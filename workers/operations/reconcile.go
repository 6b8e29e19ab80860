package operations

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// settle gathers the events of one disturbance: a container that restarts dies
	// and starts within a second.
	settle = time.Second
	// againAfter is the pause before the next try where the lock was held or
	// something was away, and before the engine is listened to again. What goes on
	// failing is tried ever less often.
	againAfter = 15 * time.Second
	againMax   = 5 * time.Minute
	// reconcileMax bounds the work under the lock.
	reconcileMax = 20 * time.Second
	// lockMax ends the lock of a worker that was killed with it: nobody is its
	// parent, so no policy frees it.
	lockMax = 30 * time.Second
)

// reconciler keeps the proxy's address files to what runs, at the start and when
// replicas die or start outside of a run.
//
// It takes the proxy's lock as a run does, as a lock workflow of its own, and passes
// the gate with that lock's run ID. While a run holds the lock it stands aside, and
// tries again until it got through: what the run leaves behind is looked at too.
type reconciler struct {
	site      *site
	engine    listener
	census    func(context.Context, runbook.CensusInput) (runbook.Census, error)
	observe   func(context.Context, runbook.ProxyInput) (runbook.ProxyState, error)
	reconcile func(context.Context, runbook.ProxyInput, map[string][]string) (map[string]runbook.ProxyChange, error)
	lock      func(context.Context) (proxyLock, error)
	gate      *gate
	log       *slog.Logger

	// began: the first look is behind us. It is thorough, because a killed worker may
	// have written what it never loaded, and that cannot be seen in the files.
	began bool
}

// listener is the part of the engine's client that events come from.
type listener interface {
	Events(ctx context.Context, options events.ListOptions) (<-chan events.Message, <-chan error)
}

// proxyLock is the proxy's lock, taken.
type proxyLock struct {
	fence   runbook.Fence
	release func(context.Context) error
}

// errHeld: a run holds the proxy's lock.
var errHeld = errors.New("the proxy's lock is held")

// run listens until the context ends. The first look comes after the first
// subscription, so that no event falls between the two.
func (r *reconciler) run(ctx context.Context) {
	said := ""
	every(ctx, againAfter, func() {
		err := r.listen(ctx)
		if ctx.Err() == nil {
			said = sayOnce(r.log, said, "the container engine's events cannot be heard", err)
		}
	})
}

// listen reconciles, and again after each disturbance, until the events end.
func (r *reconciler) listen(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	project, err := r.site.name(ctx)
	if err != nil {
		return err
	}
	messages, failed := r.engine.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)), filters.Arg("label", projectLabel+"="+project),
		filters.Arg("event", string(events.ActionStart)), filters.Arg("event", string(events.ActionDie)),
	)})
	due := time.NewTimer(0)
	defer due.Stop()
	waiting, said, pause := true, "", againAfter
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case m := <-messages:
			// A later event does not push the look further away.
			if !waiting && r.routed(ctx, m.Actor.Attributes[serviceLabel]) {
				waiting = true
				due.Reset(settle)
			}
		case <-due.C:
			err := r.once(ctx)
			switch waiting = err != nil; {
			case errors.Is(err, errHeld):
				due.Reset(againAfter)
			case waiting:
				due.Reset(pause)
				pause = min(2*pause, againMax)
			default:
				pause = againAfter
			}
			if ctx.Err() == nil && !errors.Is(err, errHeld) {
				said = sayOnce(r.log, said, "the proxy's addresses cannot be reconciled", err)
			}
		}
	}
}

// routed says whether the proxy routes to the service, or is it.
func (r *reconciler) routed(ctx context.Context, service string) bool {
	known, err := r.site.loaded(ctx)
	if err != nil {
		return true // the look itself will say what is wrong
	}
	s, ok := known.Stack.Service(service)
	return ok && (s.Upstream != "" || s.Name == known.Policy.Proxy.Service)
}

// once reconciles where the files and what runs differ. It looks without the lock
// first: most disturbances leave nothing to do.
func (r *reconciler) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reconcileMax)
	defer cancel()
	known, err := r.site.loaded(ctx)
	if err != nil {
		return err
	}
	if !known.Policy.Proxy.Declared() {
		return nil // there is nothing to keep
	}
	in := runbook.ProxyInput{Project: known.Stack.Project, Proxy: known.Policy.Proxy}
	census, err := r.census(ctx, runbook.CensusInput{Project: known.Stack.Project})
	if err != nil {
		return err
	}
	if !runs(census, in.Proxy.Service) {
		return nil // its start is an event
	}
	state, err := r.observe(ctx, in)
	if err != nil {
		return err
	}
	if r.began && same(live(known.Stack, census), state.Upstreams) {
		return nil
	}
	if err := r.locked(ctx, known.Stack, in); err != nil {
		return err
	}
	r.began = true
	return nil
}

// locked reconciles under the lock and inside the gate, with a census of that time.
func (r *reconciler) locked(ctx context.Context, stack runbook.Stack, in runbook.ProxyInput) error {
	lock, err := r.lock(ctx)
	if err != nil {
		return err
	}
	defer func() {
		// The lock is given back even when the process stops.
		if err := lock.release(context.WithoutCancel(ctx)); err != nil {
			r.log.Warn("the proxy's lock was not given back and ends by itself", "within", lockMax.String(), "error", err)
		}
	}()
	leave, err := r.gate.Enter(ctx, lock.fence)
	if err != nil {
		return err
	}
	defer leave()
	census, err := r.census(ctx, runbook.CensusInput{Project: in.Project})
	if err != nil {
		return err
	}
	now := live(stack, census)
	changes, err := r.reconcile(ctx, in, now)
	for upstream, c := range changes {
		r.log.Info("reconciled the proxy", "upstream", upstream, "generation", c.Generation, "previous", c.Previous, "running", now[upstream])
	}
	return err
}

func runs(census runbook.Census, service string) bool {
	return slices.ContainsFunc(census.Of(service), func(c runbook.Container) bool { return c.State == "running" })
}

// same compares what runs with what the files route to, for the upstreams that the
// stack has.
func same(live, routed map[string][]string) bool {
	for upstream, addresses := range live {
		if !slices.Equal(addresses, slices.Sorted(slices.Values(routed[upstream]))) {
			return false
		}
	}
	return true
}

// live are the addresses of the running replicas of each upstream, sorted; an
// upstream whose replicas all are gone is listed with none.
func live(stack runbook.Stack, census runbook.Census) map[string][]string {
	out := map[string][]string{}
	for _, s := range stack.Services {
		if s.Upstream == "" || s.Probe == nil {
			continue
		}
		addresses := out[s.Upstream]
		for _, c := range census.Of(s.Name) {
			if c.State == "running" && c.Address != "" {
				addresses = append(addresses, net.JoinHostPort(c.Address, strconv.Itoa(s.Probe.Port)))
			}
		}
		slices.Sort(addresses)
		out[s.Upstream] = slices.Compact(addresses)
	}
	return out
}

// takeProxyLock starts the proxy's lock without a parent.
func takeProxyLock(temporal client.Client) func(context.Context) (proxyLock, error) {
	return func(ctx context.Context) (proxyLock, error) {
		id := flow.LockID(flow.Proxy)
		run, err := temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: id, TaskQueue: runbook.TaskQueue, WorkflowExecutionTimeout: lockMax,
			WorkflowExecutionErrorWhenAlreadyStarted: true,
			StaticSummary:                            "held by opsworker while it reconciles the proxy's addresses with what runs",
		}, flow.LockName, flow.Proxy)
		var started *serviceerror.WorkflowExecutionAlreadyStarted
		if errors.As(err, &started) {
			return proxyLock{}, errHeld
		}
		if err != nil {
			return proxyLock{}, fmt.Errorf("take %s: %w", id, err)
		}
		return proxyLock{
			fence: runbook.Fence{Resource: flow.Proxy, Token: run.GetRunID()},
			release: func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, time.Second*5)
				defer cancel()
				return temporal.TerminateWorkflow(ctx, id, run.GetRunID(), "the proxy's addresses are reconciled")
			},
		}, nil
	}
}
