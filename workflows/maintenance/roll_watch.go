package maintenance

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// trafficWait is how long users have to find a new replica before the probe does.
	trafficWait = 5 * time.Second
	// supplyFor is how long the probe sends what users did not.
	supplyFor = 5 * time.Second
	// supplyMargin times the wanted number are sent, because a proxy spreads them over
	// all replicas and a queue over all workers.
	supplyMargin = 2
	// supplyRounds is how often it sends them while they are not enough: a worker that
	// dies in the middle takes the rest of what it was sending with it.
	supplyRounds = 3
)

// watching is what to wait for on a replica behind the proxy.
func (s *roll) watching(m member, since time.Time) runbook.WatchTrafficInput {
	return runbook.WatchTrafficInput{
		ProxyInput: proxyOf(s.run), Upstream: s.svc.Upstream, Address: address(s.svc, m.ip), Since: since,
		Requests: 1, Quiet: s.run.Policy.Proxy.Quiet, Deadline: s.svc.Drain,
	}
}

// reached waits until nginx's own log shows a request on the new replica.
func (s *roll) reached(ctx workflow.Context, m member) error {
	wait := s.watching(m, workflow.Now(ctx))
	wait.Deadline = runbook.Duration(trafficWait)
	seen := func(ctx workflow.Context) (bool, error) {
		out, err := flow.Do(ctx, s.run, runbook.AwaitTraffic, m.name, wait)
		return out.Met, err
	}
	return s.awaited(ctx, m, runbook.AwaitTraffic.Name, "no request reached it", seen)
}

// working waits until the new worker has taken a task.
func (s *roll) working(ctx workflow.Context, m member) error {
	in := s.worker(m)
	in.Deadline = runbook.Duration(trafficWait)
	taken := func(ctx workflow.Context) (bool, error) {
		out, err := flow.Do(ctx, s.run, runbook.AwaitTaskTaken, m.name, in)
		return out.Met, err
	}
	return s.awaited(ctx, m, runbook.AwaitTaskTaken.Name, "it took no task", taken)
}

// awaited waits for a sign of work: from users first, then from what the probe
// supplies. Without a sign the replica is not proven, and that is never a pass.
func (s *roll) awaited(ctx workflow.Context, m member, step, none string, look func(workflow.Context) (bool, error)) error {
	met, err := look(ctx)
	if err != nil || met {
		return err
	}
	s.run.Note(step, m.name, none+" from users, so the probe sends some")
	met, err = s.supplied(ctx, m, 1, look)
	if err == nil && !met {
		s.run.Fail(step, m.name, none)
		return fmt.Errorf("inconclusive: %s: %s, neither by users nor by the probe", m.name, none)
	}
	return err
}

// supplied sends requests and looks at the same time whether they are enough, and
// again while they are not.
func (s *roll) supplied(ctx workflow.Context, m member, wanted int, look func(workflow.Context) (bool, error)) (enough bool, err error) {
	for range supplyRounds {
		err = flow.Together(ctx, 0,
			func(ctx workflow.Context) error { return s.supply(ctx, m, wanted) },
			func(ctx workflow.Context) (err error) { enough, err = look(ctx); return err })
		if err != nil || enough {
			break
		}
	}
	return enough, err
}

// supply sends requests through the proxy until the replica's share of them is
// enough.
func (s *roll) supply(ctx workflow.Context, m member, wanted int) error {
	if !s.run.Policy.Proxy.Declared() {
		return fmt.Errorf("%s: users gave it no work, and the policy names no proxy that it could be given some through", s.svc.Name)
	}
	in := runbook.SupplyInput{URL: s.run.Policy.Proxy.URL + s.svc.ProxyHealth, Window: runbook.Duration(supplyFor)}
	if s.svc.Supply != nil {
		in.URL, in.Post = s.run.Policy.Proxy.URL+s.svc.Supply.Path, s.svc.Supply.Post
	} else if s.svc.ProxyHealth == "" {
		return fmt.Errorf("%s: the compose file names nothing to ask it for (x-hive.proxy.health or x-hive.supply)", s.svc.Name)
	}
	replicas := len(s.old) + len(s.made)
	in.Rate = max(5, supplyMargin*wanted*replicas/int(supplyFor/time.Second))
	_, err := flow.Do(ctx, s.run, runbook.SupplyTraffic, m.name, in)
	return err
}

// monitor watches a new replica over the policy's window and judges it.
func (s *roll) monitor(ctx workflow.Context, m member) error {
	window := s.run.Policy.Rolling.Monitor
	if s.svc.Role == runbook.RoleWorker {
		return s.watched(ctx, m, window)
	}
	since := workflow.Now(ctx)
	verdict, err := s.window(ctx, m, since, window)
	if err != nil {
		return err
	}
	if verdict.Inconclusive {
		_, err = s.supplied(ctx, m, s.run.Policy.Rolling.MinRequests, func(ctx workflow.Context) (bool, error) {
			verdict, err = s.window(ctx, m, since, runbook.Duration(supplyFor+time.Second))
			return !verdict.Inconclusive, err
		})
		if err != nil {
			return err
		}
	}
	if !verdict.Pass {
		s.run.Fail(runbook.MeasureWindow.Name, m.name, verdict.Why)
		return fmt.Errorf("%s did not pass its monitor window: %s", m.name, verdict.Why)
	}
	s.run.Note(runbook.MeasureWindow.Name, m.name, verdict.Why)
	return nil
}

// window is one monitor window, from now on: the engine's state and nginx's log,
// side by side. Either may end it early by what it has seen. The log counts from
// since, so that a second window judges the first one's requests too.
func (s *roll) window(ctx workflow.Context, m member, since time.Time, long runbook.Duration) (judgement, error) {
	counted := long + runbook.Duration(workflow.Now(ctx).Sub(since))
	var measured runbook.WindowMeasure
	well := runbook.Health{Healthy: true}
	var early judgement
	err := flow.Together(ctx, 0,
		func(ctx workflow.Context) error { return s.watched(ctx, m, long) },
		func(ctx workflow.Context) (err error) {
			measured, err = flow.Do(ctx, s.run, runbook.MeasureWindow, m.name, runbook.MeasureWindowInput{
				ProxyInput: proxyOf(s.run), Upstream: s.svc.Upstream, Address: address(s.svc, m.ip),
				Others: s.others(m), Since: since, Window: counted, Rolling: s.run.Policy.Rolling,
			})
			if err != nil {
				return err
			}
			if early = judge(measured, well, s.run.Policy.Rolling); !early.Pass && !early.Inconclusive {
				return errDecided
			}
			return nil
		})
	if err != nil && !errors.Is(err, errDecided) {
		return judgement{}, err
	}
	return early, nil
}

// errDecided ends the watch beside a window that has already failed.
var errDecided = errors.New("the window is decided")

// watched waits out the window with an eye on the engine's state of the replica.
func (s *roll) watched(ctx workflow.Context, m member, long runbook.Duration) error {
	h, err := flow.Do(ctx, s.run, runbook.WatchReplica, m.name, runbook.WatchReplicaInput{ID: m.id, Name: m.name, Window: long})
	if err != nil {
		return err
	}
	if !h.Healthy {
		s.run.Fail(runbook.WatchReplica.Name, m.name, h.Why)
		return fmt.Errorf("%s did not stay healthy: %s", m.name, h.Why)
	}
	return nil
}

// others are the addresses that the new replica is compared with.
func (s *roll) others(m member) []string {
	var out []string
	for _, o := range append(append([]member(nil), s.old...), s.made...) {
		if o.id != m.id && o.ip != "" {
			out = append(out, address(s.svc, o.ip))
		}
	}
	return out
}
