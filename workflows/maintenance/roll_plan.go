package maintenance

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/leanvibe/hive/workflows/runbook"
)

// observed is what a roll looks at before it decides.
type observed struct {
	stack  runbook.Stack
	census runbook.Census
	proxy  runbook.ProxyState
	// images are the resolved references, by reference.
	images map[string]runbook.ResolvedImage
}

// slot is one step of a service's roll: start one replica, then take one old one
// out. Either may be absent: a missing replica has no old one, a surplus no new.
type slot struct {
	Create bool
	Old    *runbook.Container
}

// serviceRoll is what a roll wants of one service.
type serviceRoll struct {
	Service runbook.Service
	Image   runbook.ResolvedImage
	// Digest is what to pull; empty where the wanted image is here already.
	Digest string
	// ImageID is the wanted image where it is known before the pull.
	ImageID string
	// Previous is the image the service runs now, kept for a rollback.
	Previous string
	Slots    []slot
	// Leftovers are stopped or traffic-less copies of an ended run, removed first.
	Leftovers []runbook.Container
	// Stopped are stopped copies that a new replica stands in for; removed last.
	Stopped []runbook.Container
	// Tagged says whether the compose file's tag must still move at the end.
	Tagged bool
	Why    string
}

// acts says whether anything is to be done.
func (r serviceRoll) acts() bool { return len(r.Slots) > 0 || len(r.Leftovers) > 0 || r.Tagged }

// wanted names the wanted image the same way in every run: by registry digest
// where there is one, else by image ID (which is a hash of its content).
func (r serviceRoll) wanted() string {
	if r.Digest != "" {
		return r.Digest
	}
	if r.Image.Source == "registry" && r.Image.Digest != "" {
		return r.Image.Digest
	}
	return r.ImageID
}

// rollDecision is the whole decision: the services that act, in the runbook's
// order, the changes as the plan shows them, and what is only worth knowing.
type rollDecision struct {
	Rolls    []serviceRoll
	Changes  []runbook.Change
	Findings []runbook.Finding
	// Barred are the services that ought to be rolled and must not be, with why.
	Barred []string
}

// refusal is the end of a roll that was asked for and can do nothing of what there
// is to do; as a part of another procedure it is only told.
func (d rollDecision) refusal(options runbook.Options) error {
	if len(d.Rolls) > 0 || len(d.Barred) == 0 || options.Trigger == runbook.TriggerParent {
		return nil
	}
	return runbook.Fail(runbook.Refused, "nothing can be rolled without downtime: %s", strings.Join(d.Barred, "; "))
}

// decideRoll decides what a roll has to do. names are the services asked for,
// empty for every app and worker service; force replaces replicas that are right
// already. A named service that must not be rolled is Refused with its reasons;
// one that nobody named is a finding.
func decideRoll(o observed, names []string, force bool) (rollDecision, error) {
	services, err := chosen(o.stack, names)
	if err != nil {
		return rollDecision{}, err
	}
	var d rollDecision
	for _, svc := range services {
		r, findings := decideService(o, svc, force)
		d.Findings = append(d.Findings, findings...)
		if !r.acts() {
			continue
		}
		if len(svc.Bars) > 0 {
			if len(names) > 0 {
				return rollDecision{}, runbook.Fail(runbook.Refused, "%s cannot be rolled without downtime: %s", svc.Name, strings.Join(svc.Bars, "; "))
			}
			d.Findings = append(d.Findings, runbook.Finding{Severity: runbook.Warning, Target: svc.Name,
				What: "found, not rolled (" + r.Why + "): " + strings.Join(svc.Bars, "; ")})
			d.Barred = append(d.Barred, svc.Name+" ("+r.Why+"): "+strings.Join(svc.Bars, "; "))
			continue
		}
		d.Rolls = append(d.Rolls, r)
		d.Changes = append(d.Changes, rollChanges(r)...)
	}
	d.Findings = append(d.Findings, notAdopted(o)...)
	return d, nil
}

// chosen returns the services to look at, in the runbook's order.
func chosen(stack runbook.Stack, names []string) ([]runbook.Service, error) {
	var out []runbook.Service
	if len(names) == 0 {
		for _, svc := range stack.Services {
			if svc.Rolled() {
				out = append(out, svc)
			}
		}
	}
	for _, name := range names {
		svc, known := stack.Service(name)
		if !known {
			return nil, runbook.Fail(runbook.Refused, "the compose file has no service %q; it has %s", name, strings.Join(serviceNames(stack), ", "))
		}
		if svc.Once {
			return nil, runbook.Fail(runbook.Refused, "%s runs once and ends by itself: there is nothing to roll", name)
		}
		if !svc.Rolled() {
			return nil, runbook.Fail(runbook.Refused, "%s is a %s: RollingRestart replaces only services of role app and worker", name, svc.Role)
		}
		out = append(out, svc)
	}
	sort.SliceStable(out, func(a, b int) bool {
		if out[a].Order != out[b].Order {
			return out[a].Order < out[b].Order
		}
		return out[a].Name < out[b].Name
	})
	return out, nil
}

func serviceNames(stack runbook.Stack) []string {
	var out []string
	for _, svc := range stack.Services {
		out = append(out, svc.Name)
	}
	sort.Strings(out)
	return out
}

func decideService(o observed, svc runbook.Service, force bool) (serviceRoll, []runbook.Finding) {
	image := o.images[svc.Image]
	r := serviceRoll{Service: svc, Image: image}
	lives := sortReplicas(svc, o.census.Of(svc.Name), o.proxy)
	r.Previous = runningImage(lives.serving)
	findings := r.wantImage(image)
	if r.ImageID == "" && r.Digest == "" {
		return serviceRoll{Service: svc}, append(findings, runbook.Finding{Severity: runbook.Warning, Target: svc.Name,
			What: "no image to run: " + svc.Image + " is neither here nor in a registry that answers"})
	}
	var right []runbook.Container
	var old []runbook.Container
	var reasons []string
	for _, c := range lives.serving {
		if why := r.differs(c, force); why != "" {
			reasons = append(reasons, why)
			old = append(old, c)
		} else {
			right = append(right, c)
		}
	}
	count := max(svc.Replicas, len(lives.serving))
	need := count - len(right)
	if need > len(old) {
		reasons = append(reasons, fmt.Sprintf("%d of %d replicas run", len(lives.serving), count))
	}
	r.Slots = slots(need, old)
	r.Leftovers, r.Stopped = lives.leftovers, lives.stopped
	if len(lives.serving) >= svc.Replicas {
		// nothing has to stand in for a stopped copy: it is only in compose's way
		r.Leftovers, r.Stopped = append(r.Leftovers, lives.stopped...), nil
	}
	if len(r.Leftovers) > 0 {
		reasons = append(reasons, "half-made copies of an ended run")
	}
	r.Tagged = len(r.Slots) == 0 && image.LocalID != "" && r.ImageID != "" && r.ImageID != image.LocalID
	r.Why = joined(reasons)
	return r, findings
}

// wantImage decides which image the service shall run.
func (r *serviceRoll) wantImage(image runbook.ResolvedImage) []runbook.Finding {
	switch image.Source {
	case "registry":
		if image.Digest != image.LocalDigest {
			r.Digest = image.Digest
			return nil
		}
		r.ImageID = image.LocalID
		return nil
	case "local":
		r.ImageID = image.LocalID
		return nil
	default: // unreachable: nothing newer can be known, what runs now stays
		r.ImageID = r.Previous
		if r.ImageID == "" {
			r.ImageID = image.LocalID
		}
		return []runbook.Finding{{Severity: runbook.Warning, Target: r.Service.Name,
			What: "the registry of " + r.Service.Image + " did not answer, so no newer image was looked for: " + image.Why}}
	}
}

// differs says why the replica has to be replaced, or "".
func (r *serviceRoll) differs(c runbook.Container, force bool) string {
	switch {
	case r.Digest != "":
		return "the registry has a newer image"
	case c.ImageID != r.ImageID:
		return "a replica runs another image"
	case c.ConfigHash != r.Service.ConfigHash:
		return "the compose file has changed"
	case force:
		return "forced"
	default:
		return ""
	}
}

func slots(need int, old []runbook.Container) []slot {
	var out []slot
	for i := 0; i < need || i < len(old); i++ {
		s := slot{Create: i < need}
		if i < len(old) {
			s.Old = &old[i]
		}
		out = append(out, s)
	}
	return out
}

// runningImage is the image that most replicas run, the lowest ID among equals.
func runningImage(containers []runbook.Container) string {
	count := map[string]int{}
	best := ""
	for _, c := range containers {
		count[c.ImageID]++
		if n := count[c.ImageID]; best == "" || n > count[best] || n == count[best] && c.ImageID < best {
			best = c.ImageID
		}
	}
	return best
}

// joined says each reason once, in a fixed order.
func joined(reasons []string) string {
	slices.Sort(reasons)
	return strings.Join(slices.Compact(reasons), ", ")
}
