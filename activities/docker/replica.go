package docker

import (
	"context"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/leanvibe/hive/workflows/runbook"
)

// addressTries bounds how often another address is taken where somebody outside
// hive holds the chosen one.
const addressTries = 3

// CreateReplica answers runbook.CreateReplica.
func (h Hand) CreateReplica(ctx context.Context, in runbook.CreateReplicaInput) (runbook.Replica, error) {
	var none runbook.Replica
	if in.Run == "" || in.ImageID == "" {
		return none, runbook.Fail(runbook.Refused, "service %s: a replica needs a run and an image ID", in.Service)
	}
	project, err := h.project(ctx, in.Project, in.Compose, in.ComposeHash)
	if err != nil {
		return none, err
	}
	svc, ok := project.Services[in.Service]
	if !ok {
		return none, runbook.Fail(runbook.Missing, "the run's compose file has no service %q", in.Service)
	}
	defer beating(ctx)()
	done, err := take(ctx, h.Turns.starts)
	if err != nil {
		return none, err
	}
	defer done()
	name := containerName(project.Name, svc, in.Number)
	here, err := h.clear(ctx, name, in.Run)
	if err != nil {
		return none, err
	}
	o := Options{Number: in.Number, ImageID: in.ImageID, Image: in.Image, Run: in.Run}
	for try := 1; ; try++ {
		if in.Fixed && !here && !addressed(svc) {
			if o.Address, err = h.nextAddress(ctx, project, svc, in.ReplicaRange); err != nil {
				return none, err
			}
		}
		out, err := h.Create(ctx, project, svc, o)
		if o.Address == "" || try == addressTries || runbook.KindOf(err) != runbook.Busy {
			return out, err
		}
	}
}

// addressed says whether the compose file itself gives the service an address.
func addressed(svc types.ServiceConfig) bool {
	for _, n := range svc.Networks {
		if n != nil && n.Ipv4Address != "" {
			return true
		}
	}
	return false
}

// clear removes a half-made container of the name that another run left, and says
// whether one of this run is here. A running one is never touched.
func (h Hand) clear(ctx context.Context, name, run string) (here bool, err error) {
	found, err := h.API.ContainerInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, classify(err, name)
	}
	other := found.Config.Labels[labelRun]
	switch {
	case other == run && found.State.Status == container.StateCreated:
		return false, h.remove(ctx, found)
	case other == run:
		return true, nil
	case up(found.State):
		return false, runbook.Fail(runbook.Unsafe, "%s runs (%s, made by %s): a run never replaces it under its name; stop it first", name, found.State.Status, maker(other))
	case other == "":
		return false, runbook.Fail(runbook.Unsafe, "%s is here, stopped, and no run made it; remove it with docker rm %s", name, name)
	default:
		return false, h.remove(ctx, found)
	}
}

func maker(run string) string {
	if run == "" {
		return "no run"
	}
	return "run " + run
}

// up says whether the container has a process, or the engine is about to give it one.
func up(s *container.State) bool {
	switch s.Status {
	case container.StateRunning, container.StatePaused, container.StateRestarting:
		return true
	default:
		return false
	}
}
