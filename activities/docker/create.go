package docker

import (
	"context"
	"sort"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Options are what a container has beyond its service's Compose configuration.
type Options struct {
	// Number is the replica's, from 1.
	Number int
	// ImageID is what it runs; empty takes what Image names here.
	ImageID string
	// Image is the reference its label carries; empty takes the service's.
	Image string
	// Address is a fixed one; empty lets the engine choose. An ipv4_address of the
	// Compose file wins.
	Address string
	// Run is the run that makes it, empty for hive up.
	Run string
}

// Create creates and starts one container of the service. One of the same name
// that was made from the same configuration, image and run is adopted and started;
// any other container of that name is Unsafe and left alone.
func (h Hand) Create(ctx context.Context, project *types.Project, svc types.ServiceConfig, o Options) (runbook.Replica, error) {
	var none runbook.Replica
	if o.Number < 1 {
		return none, refuse(svc, "replica number %d: they count from 1", o.Number)
	}
	if o.Image == "" {
		o.Image = imageName(project.Name, svc)
	}
	image, err := h.choose(ctx, o)
	if err != nil {
		return none, err
	}
	o.ImageID = image.ID
	d, err := translate(project, svc, o)
	if err != nil {
		return none, err
	}
	d.Config.Image, d.Config.Labels[labelImage] = image.Name, image.Content
	found, err := h.API.ContainerInspect(ctx, d.Name)
	switch {
	case errdefs.IsNotFound(err):
		return h.make(ctx, d, o)
	case err != nil:
		return none, classify(err, d.Name)
	default:
		return h.adopt(ctx, found, d, o)
	}
}

// make creates, connects and starts. A container that would not start is removed
// again: it never ran, and half-made it would only be in the way.
func (h Hand) make(ctx context.Context, d documents, o Options) (runbook.Replica, error) {
	var none runbook.Replica
	first, rest := h.split(ctx, d)
	made, err := h.API.ContainerCreate(ctx, d.Config, d.Host, first, d.Platform, d.Name)
	if err != nil {
		return none, classify(err, d.Name)
	}
	if err := h.finish(ctx, made.ID, d, o, rest); err != nil {
		tidy, cancel := tidying(ctx)
		defer cancel()
		if gone := h.API.ContainerRemove(tidy, made.ID, container.RemoveOptions{RemoveVolumes: true}); gone != nil && !errdefs.IsNotFound(gone) {
			return none, classify(err, d.Name+" (which was left half-made: "+plain(gone).Error()+")")
		}
		return none, err
	}
	out, err := h.replica(ctx, made.ID, o.Number)
	out.Changed = true
	return out, err
}

// finish connects the networks that the create could not, makes sure that the
// image is the one that was asked for (a tag may move in between), and starts.
func (h Hand) finish(ctx context.Context, id string, d documents, o Options, rest []string) error {
	for _, name := range rest {
		if err := h.API.NetworkConnect(ctx, name, id, d.Endpoints[name]); err != nil {
			return classify(err, d.Name+" on network "+name)
		}
	}
	made, err := h.API.ContainerInspect(ctx, id)
	if err != nil {
		return classify(err, d.Name)
	}
	if made.Image != o.ImageID {
		return runbook.Fail(runbook.Busy, "%s moved from %s to %s while %s was created", d.Config.Image, o.ImageID, made.Image, d.Name)
	}
	if err := h.API.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return startFailure(err, d.Name)
	}
	return nil
}

// split says which networks the create can name: before API 1.44 only the first.
func (h Hand) split(ctx context.Context, d documents) (*network.NetworkingConfig, []string) {
	const severalFrom = "1.44"
	if len(d.Endpoints) == 0 {
		return nil, nil
	}
	if h.since(ctx, severalFrom) {
		return &network.NetworkingConfig{EndpointsConfig: d.Endpoints}, nil
	}
	var rest []string
	for name := range d.Endpoints {
		if name != d.Primary {
			rest = append(rest, name)
		}
	}
	sort.Strings(rest)
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{d.Primary: d.Endpoints[d.Primary]}}, rest
}

// adopt takes over a container of the wanted name, if it is what was wanted. One
// that was created and never started may lack a network, so it is made anew.
func (h Hand) adopt(ctx context.Context, found container.InspectResponse, d documents, o Options) (runbook.Replica, error) {
	var none runbook.Replica
	if why := differs(found, d, o); why != "" {
		return none, runbook.Fail(runbook.Unsafe, "a container named %s is here already (%s) and %s; remove it first", d.Name, found.State.Status, why)
	}
	changed := retried(ctx)
	switch found.State.Status {
	case container.StateCreated:
		if err := h.remove(ctx, found); err != nil {
			return none, err
		}
		return h.make(ctx, d, o)
	case container.StateExited:
		if err := h.API.ContainerStart(ctx, found.ID, container.StartOptions{}); err != nil {
			return none, startFailure(err, d.Name)
		}
		changed = true
	}
	out, err := h.replica(ctx, found.ID, o.Number)
	out.Changed = changed
	return out, err
}

// differs says in which way the container is not the wanted one, or "".
func differs(found container.InspectResponse, d documents, o Options) string {
	for _, label := range []struct{ name, what string }{
		{labelProject, "belongs to the Compose project"}, {labelService, "is one of service"},
		{labelHash, "was made from the configuration"}, {labelRun, "was made by run"},
	} {
		if got, want := found.Config.Labels[label.name], d.Config.Labels[label.name]; got != want {
			if got == "" {
				got = "(none)"
			}
			return label.what + " " + got
		}
	}
	if found.Image != o.ImageID {
		return "runs image " + found.Image
	}
	return ""
}

func (h Hand) replica(ctx context.Context, id string, number int) (runbook.Replica, error) {
	c, err := h.API.ContainerInspect(ctx, id)
	if err != nil {
		return runbook.Replica{}, classify(err, id)
	}
	return runbook.Replica{ID: c.ID, Name: nameOf(c), Number: number, Address: addressOf(c.HostConfig.NetworkMode, c.NetworkSettings.Networks)}, nil
}

func nameOf(c container.InspectResponse) string {
	if len(c.Name) > 0 && c.Name[0] == '/' {
		return c.Name[1:]
	}
	return c.Name
}
