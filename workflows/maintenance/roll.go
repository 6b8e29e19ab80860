package maintenance

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/runbook"
)

// member is one replica in a roll.
type member struct {
	id, name string
	// ip is the container's address on the app network.
	ip string
	// passed: a new replica that its monitor window found well.
	passed bool
}

// roll is the roll of one service while it goes on: who serves, who was made, who
// was stopped. The undo reads it, so it is kept true after every act.
type roll struct {
	run  *flow.Run
	plan serviceRoll
	svc  runbook.Service
	// census is what stood when the run began, for free numbers.
	census []runbook.Container
	taken  []int
	// image is the wanted image's ID.
	image string
	// old replicas still serving, new ones made, old ones told to stop.
	old, made, stopped []member
	// drained are old workers that were told to take no more tasks.
	drained []member
	// aside are old replicas that were told to give up their partitions and agents.
	aside []member
}

func newRoll(r *flow.Run, seen observed, plan serviceRoll) *roll {
	one := &roll{run: r, plan: plan, svc: plan.Service, census: seen.census.Of(plan.Service.Name), image: plan.ImageID}
	for _, c := range sortReplicas(plan.Service, one.census, seen.proxy).serving {
		one.old = append(one.old, member{id: c.ID, name: c.Name, ip: c.Address, passed: true})
	}
	return one
}

// do rolls the service, one replica at a time. Where that fails, users are taken
// away from what failed before anything else, while other services still roll.
func (s *roll) do(ctx workflow.Context) error {
	s.run.Undo.Add(s.svc.Name, "roll "+s.svc.Name+" back", s.revert)
	err := s.steps(ctx)
	if err != nil {
		after, _ := workflow.NewDisconnectedContext(ctx)
		if left := s.divert(after); left != nil {
			s.run.Find(runbook.Critical, s.svc.Name, "users could not be taken away from the new replica: "+runbook.Reason(left))
		}
	}
	return err
}

func (s *roll) steps(ctx workflow.Context) error {
	for _, c := range s.plan.Leftovers {
		if err := s.clear(ctx, c); err != nil {
			return err
		}
	}
	if err := s.pull(ctx); err != nil {
		return err
	}
	if err := s.snapshot(ctx); err != nil {
		return err
	}
	for _, slot := range s.plan.Slots {
		if err := s.replace(ctx, slot); err != nil {
			return err
		}
	}
	return s.level(ctx)
}

// pull fetches the wanted image and keeps the previous one under a tag of ours, so
// that no clean-up takes it and a revert needs no pull.
func (s *roll) pull(ctx workflow.Context) error {
	if s.plan.Digest == "" {
		return nil
	}
	if s.plan.Previous != "" {
		if _, err := flow.Do(ctx, s.run, runbook.TagImage, s.svc.Name, runbook.TagImageInput{
			Fence: s.run.Fence(flow.Images), ImageID: s.plan.Previous, Tag: rollbackTag(s.svc.Name, s.plan.Previous),
		}); err != nil {
			return err
		}
	}
	pulled, err := flow.Do(ctx, s.run, runbook.PullImage, s.svc.Name, runbook.PullImageInput{
		Fence: s.run.Fence(flow.Images), Image: s.svc.Image, Digest: s.plan.Digest,
	})
	s.image = pulled.ImageID
	return err
}

// rollbackTag is the tag that keeps a service's previous image.
func rollbackTag(service, imageID string) string {
	const shown = 12
	id := strings.TrimPrefix(imageID, "sha256:")
	return "hive-rollback/" + service + ":" + id[:min(shown, len(id))]
}

// replace is the runbook's step for one replica: start the new one, prove it, give
// it traffic, take the old one out, watch.
func (s *roll) replace(ctx workflow.Context, step slot) error {
	if err := s.asPlanned(ctx, &step); err != nil {
		return err
	}
	var fresh *member
	if step.Create {
		created, err := s.create(ctx)
		if err != nil {
			return err
		}
		fresh = created
	}
	if step.Old != nil {
		if err := s.retire(ctx, *step.Old); err != nil {
			return err
		}
	}
	if fresh == nil {
		return nil
	}
	if err := s.monitor(ctx, *fresh); err != nil {
		return err
	}
	fresh.passed = true
	return nil
}

// asPlanned looks again before the act: an old replica that is gone meanwhile is
// not acted on, and the difference is recorded.
func (s *roll) asPlanned(ctx workflow.Context, step *slot) error {
	if step.Old == nil {
		return nil
	}
	now, err := flow.Do(ctx, s.run, runbook.TakeCensus, s.svc.Name, runbook.CensusInput{Project: s.run.Stack.Project})
	if err != nil {
		return err
	}
	for _, c := range now.Of(s.svc.Name) {
		if c.ID == step.Old.ID && c.State == "running" {
			return nil
		}
	}
	s.run.Differ(runbook.StopReplica.Name, s.svc.Name, "planned to stop "+step.Old.Name+", which does not run any more")
	s.old = without(s.old, step.Old.ID)
	step.Old = nil
	return nil
}

// create starts a new replica, waits until it is healthy by its own word and by
// the engine's, and gives it work.
func (s *roll) create(ctx workflow.Context) (*member, error) {
	number := freeNumber(s.census, s.taken)
	s.taken = append(s.taken, number)
	made, err := flow.Do(ctx, s.run, runbook.CreateReplica, s.svc.Name, runbook.CreateReplicaInput{
		Fence: s.run.Fence(flow.Service(s.svc.Name)), Project: s.run.Stack.Project, Service: s.svc.Name, Number: number,
		ImageID: s.image, Image: s.svc.Image, Compose: s.run.Stack.Compose, ComposeHash: s.run.Stack.ComposeHash,
		Fixed: s.run.Stack.ReplicaRange != "", ReplicaRange: s.run.Stack.ReplicaRange, Run: s.run.ID(),
	})
	if err != nil {
		// It may have been made all the same; its name is known, so the undo finds it.
		s.made = append(s.made, member{name: fmt.Sprintf("%s-%s-%d", s.run.Stack.Project, s.svc.Name, number)})
		return nil, err
	}
	s.made = append(s.made, member{id: made.ID, name: made.Name, ip: made.Address})
	fresh := &s.made[len(s.made)-1]
	if err := s.healthy(ctx, *fresh, flow.Do[runbook.AwaitHealthyInput, runbook.Health], flow.Do[runbook.AwaitAnswerInput, runbook.Health]); err != nil {
		return nil, err
	}
	if s.svc.Role == runbook.RoleWorker {
		return fresh, s.working(ctx, *fresh)
	}
	if err := s.route(ctx, append(s.serving(), *fresh)); err != nil {
		return nil, err
	}
	return fresh, s.reached(ctx, *fresh)
}

// healthy waits for the engine's verdict and the replica's own answer, side by
// side. The two ways to run a step are parameters, because an undo runs it too.
func (s *roll) healthy(ctx workflow.Context, m member, engine doing[runbook.AwaitHealthyInput, runbook.Health],
	own doing[runbook.AwaitAnswerInput, runbook.Health],
) error {
	deadline := s.run.Policy.Rolling.HealthyDeadline
	judge := func(step string, h runbook.Health, err error) error {
		if err != nil {
			return err
		}
		if !h.Healthy {
			s.run.Fail(step, m.name, h.Why)
			return fmt.Errorf("%s did not become healthy: %s", m.name, h.Why)
		}
		return nil
	}
	return flow.Together(ctx, 0,
		func(ctx workflow.Context) error {
			h, err := engine(ctx, s.run, runbook.AwaitHealthy, m.name, runbook.AwaitHealthyInput{
				ID: m.id, Service: s.svc.Name, Name: m.name, Healthcheck: s.svc.HasHealthcheck, MinHealthy: s.svc.MinHealthy, Deadline: deadline,
			})
			return judge(runbook.AwaitHealthy.Name, h, err)
		},
		func(ctx workflow.Context) error {
			h, err := own(ctx, s.run, runbook.AwaitAnswer, m.name, runbook.AwaitAnswerInput{
				URL: probeURL(s.svc, m.ip), Hold: s.svc.MinHealthy, Deadline: deadline,
			})
			return judge(runbook.AwaitAnswer.Name, h, err)
		})
}

// doing is flow.Do or flow.Reverting.
type doing[In, Out any] func(workflow.Context, *flow.Run, runbook.Step[In, Out], string, In) (Out, error)

// serving are the replicas that traffic goes to while nothing is wrong: old ones
// not yet taken out, and new ones that passed their window.
func (s *roll) serving() []member {
	out := append([]member(nil), s.old...)
	for _, m := range s.made {
		if m.passed {
			out = append(out, m)
		}
	}
	return out
}

func (s *roll) addresses(members []member) []string {
	var out []string
	for _, m := range members {
		out = append(out, address(s.svc, m.ip))
	}
	return out
}

// route gives the upstream these replicas and no others.
func (s *roll) route(ctx workflow.Context, members []member) error {
	_, err := flow.Do(ctx, s.run, runbook.SetUpstream, s.svc.Name, s.upstream(members))
	return err
}

func (s *roll) upstream(members []member) runbook.SetUpstreamInput {
	return runbook.SetUpstreamInput{Fence: s.run.Fence(flow.Proxy), ProxyInput: proxyOf(s.run),
		Upstream: s.svc.Upstream, Addresses: s.addresses(members), Run: s.run.ID()}
}

// retire takes an old replica out: no new work, nothing under way, stop. It stays,
// stopped, until the run ends.
func (s *roll) retire(ctx workflow.Context, c runbook.Container) error {
	m := member{id: c.ID, name: c.Name, ip: c.Address, passed: true}
	var err error
	if s.svc.Role == runbook.RoleWorker {
		err = s.idle(ctx, m)
	} else if err = s.quiet(ctx, m); err == nil {
		err = s.handOver(ctx, m)
	}
	if err != nil {
		return err
	}
	s.stopped = append(s.stopped, m)
	s.old = without(s.old, m.id)
	return s.stop(ctx, m, flow.Do[runbook.ReplicaInput, runbook.Stopped])
}

// quiet moves the traffic away from an old replica and waits until none of it
// reaches the replica any more.
func (s *roll) quiet(ctx workflow.Context, m member) error {
	if err := s.route(ctx, append(without(s.old, m.id), s.made...)); err != nil {
		return err
	}
	seen, err := flow.Do(ctx, s.run, runbook.AwaitQuiet, m.name, s.watching(m, workflow.Now(ctx)))
	if err == nil && !seen.Met {
		s.run.Find(runbook.Warning, m.name, fmt.Sprintf("new requests still reached it after %s, so it was told to drain by itself (503 and Connection: close)", s.svc.Drain))
	}
	return err
}

// idle tells an old worker to take no more tasks and waits until it holds none.
func (s *roll) idle(ctx workflow.Context, m member) error {
	s.drained = append(s.drained, m)
	if _, err := flow.Do(ctx, s.run, runbook.DrainWorker, m.name, s.worker(m)); err != nil {
		return err
	}
	state, err := flow.Do(ctx, s.run, runbook.AwaitIdle, m.name, s.worker(m))
	if err == nil && !state.Met {
		s.run.Find(runbook.Warning, m.name, fmt.Sprintf("still held %d tasks after %s; what it does not finish in its grace time is given back to the queue", state.InFlight, s.svc.Drain))
	}
	return err
}

func (s *roll) worker(m member) runbook.WorkerInput {
	return runbook.WorkerInput{Fence: s.run.Fence(flow.Service(s.svc.Name)), URL: "http://" + address(s.svc, m.ip), Name: m.name, Deadline: s.svc.Drain}
}

func (s *roll) replica(m member) runbook.ReplicaInput {
	return runbook.ReplicaInput{Fence: s.run.Fence(flow.Service(s.svc.Name)), ID: m.id, Name: m.name, Service: s.svc.Name, Grace: s.svc.StopGrace, Run: s.run.ID()}
}

func (s *roll) stop(ctx workflow.Context, m member, do doing[runbook.ReplicaInput, runbook.Stopped]) error {
	ended, err := do(ctx, s.run, runbook.StopReplica, s.svc.Name, s.replica(m))
	if err == nil && ended.Killed {
		said := fmt.Sprintf("%s ignored SIGTERM and was killed at its grace time of %s", m.name, s.svc.StopGrace)
		s.run.Note(runbook.StopReplica.Name, s.svc.Name, said)
		s.run.Find(runbook.Warning, m.name, said)
	}
	return err
}

// clear removes a copy that an ended run left.
func (s *roll) clear(ctx workflow.Context, c runbook.Container) error {
	m := member{id: c.ID, name: c.Name}
	if c.State == "running" {
		if err := s.stop(ctx, m, flow.Do[runbook.ReplicaInput, runbook.Stopped]); err != nil {
			return err
		}
	}
	_, err := flow.Do(ctx, s.run, runbook.RemoveReplica, s.svc.Name, s.replica(m))
	return err
}

// keep moves the compose file's tag to what runs now, so that plain docker compose
// agrees with it.
func (s *roll) keep(ctx workflow.Context) error {
	named := s.plan.Image.LocalID
	if s.image == "" || s.image == named || !s.plan.acts() {
		return nil
	}
	if named != "" {
		s.run.Undo.Add(s.svc.Name, "point "+s.svc.Image+" at the previous image", func(ctx workflow.Context) error {
			_, err := flow.Reverting(ctx, s.run, runbook.TagImage, s.svc.Name, runbook.TagImageInput{Fence: s.run.Fence(flow.Images), ImageID: named, Tag: s.svc.Image})
			return err
		})
	}
	_, err := flow.Do(ctx, s.run, runbook.TagImage, s.svc.Name, runbook.TagImageInput{
		Fence: s.run.Fence(flow.Images), ImageID: s.image, Tag: s.svc.Image,
	})
	return err
}

// sweep removes the stopped old replicas: plain docker compose counts them too.
func (s *roll) sweep(ctx workflow.Context) error {
	gone := append([]member(nil), s.stopped...)
	for _, c := range s.plan.Stopped {
		gone = append(gone, member{id: c.ID, name: c.Name})
	}
	for _, m := range gone {
		if _, err := flow.Do(ctx, s.run, runbook.RemoveReplica, s.svc.Name, s.replica(m)); err != nil {
			return err
		}
	}
	return nil
}

func without(members []member, id string) []member {
	var out []member
	for _, m := range members {
		if m.id != id {
			out = append(out, m)
		}
	}
	return out
}
