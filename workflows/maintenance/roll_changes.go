package maintenance

import (
	"fmt"
	"strings"

	"github.com/leanvibe/hive/workflows/runbook"
)

// rollChanges writes a service's roll as the plan shows it. What is hashed holds
// image digests and names of services, never container ids or addresses.
func rollChanges(r serviceRoll) []runbook.Change {
	var out []runbook.Change
	name := r.Service.Name
	for _, c := range r.Leftovers {
		out = append(out, change(runbook.RemoveReplica.Name, runbook.RemoveReplica.Effect, name, "remove "+c.Name+", a copy without traffic", stateOf(c)))
	}
	if r.Digest != "" {
		out = append(out, change(runbook.PullImage.Name, runbook.PullImage.Effect, name, "pull "+r.Service.Image+"@"+r.Digest, "the registry has a newer image"))
	}
	created, replaced := 0, 0
	for _, s := range r.Slots {
		if s.Create {
			created++
		}
		if s.Old != nil {
			replaced++
		}
	}
	controlled := r.retires() && r.Service.Control == runbook.ControlAssignment
	if controlled {
		out = append(out, change(runbook.SnapshotPartitions.Name, runbook.SnapshotPartitions.Effect, name,
			"snapshot every partition", "a next owner reads what is behind it"))
	}
	for i := range created {
		out = append(out, change(runbook.CreateReplica.Name, runbook.CreateReplica.Effect, name,
			fmt.Sprintf("start new replica %d of %d on %s", i+1, created, r.wanted()), r.Why))
	}
	for i := range replaced {
		if controlled {
			out = append(out, handOverChange(name, i+1, replaced))
		}
		out = append(out, change(runbook.StopReplica.Name, runbook.StopReplica.Effect, name,
			fmt.Sprintf("stop old replica %d of %d after its traffic has moved", i+1, replaced), r.Why))
	}
	if controlled {
		out = append(out, change(runbook.RebalancePartitions.Name, runbook.RebalancePartitions.Effect, name, "see the partitions spread evenly", ""))
	}
	if len(r.Slots) > 0 || r.Tagged {
		out = append(out, change(runbook.TagImage.Name, runbook.TagImage.Effect, name,
			"point "+r.Service.Image+" at "+r.wanted()+", keep the previous image", ""))
	}
	if n := replaced + len(r.Stopped); n > 0 {
		out = append(out, change(runbook.RemoveReplica.Name, runbook.RemoveReplica.Effect, name,
			fmt.Sprintf("remove %d stopped old replicas", n), "plain docker compose counts stopped copies too"))
	}
	return out
}

// handOverChange says that an old replica is drained before its stop.
func handOverChange(service string, i, of int) runbook.Change {
	return change(runbook.DrainReplica.Name, runbook.DrainReplica.Effect, service,
		fmt.Sprintf("old replica %d of %d hands its partitions and agents over", i, of), "")
}

func change(step string, effect runbook.Effect, target, what, reason string) runbook.Change {
	return runbook.Change{Step: step, Target: target, What: what, Effect: effect.String(), Reason: reason}
}

func stateOf(c runbook.Container) string {
	s := c.State
	if c.Run != "" {
		s += ", made by run " + c.Run
	}
	return s
}

// notAdopted are newer images of services that a roll never touches: a store or a
// proxy needs its own plan, so they are named and left.
func notAdopted(o observed) []runbook.Finding {
	var out []runbook.Finding
	for _, svc := range o.stack.Services {
		image, asked := o.images[svc.Image]
		if svc.Role.Rolled() || !asked {
			continue
		}
		why := newer(image, o.census.Of(svc.Name))
		if why != "" {
			out = append(out, runbook.Finding{Severity: runbook.Good, Target: svc.Name,
				What: fmt.Sprintf("found, not adopted: %s of %s", why, strings.TrimSpace(svc.Image))})
		}
	}
	return out
}

func newer(image runbook.ResolvedImage, containers []runbook.Container) string {
	if image.Source == "registry" && image.Digest != image.LocalDigest {
		return "a newer image " + image.Digest
	}
	for _, c := range containers {
		if image.LocalID != "" && c.State == "running" && c.ImageID != image.LocalID {
			return "another local image " + image.LocalID
		}
	}
	return ""
}
