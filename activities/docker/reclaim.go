package docker

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	kindContainer = "container"
	kindImage     = "image"
)

// ListReclaimable answers runbook.ListReclaimable.
func (h Hand) ListReclaimable(ctx context.Context, in runbook.ReclaimInput) (runbook.ReclaimList, error) {
	out := runbook.ReclaimList{Items: []runbook.Reclaimable{}}
	if in.Project == "" || in.OlderThan <= 0 || in.KeepGenerations < 0 {
		return out, runbook.Fail(runbook.Refused, "nothing is reclaimed without a project, an age and a number of generations to keep: give for example 168h and 3")
	}
	defer beating(ctx)()
	containers, err := h.API.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return out, classify(err, "containers")
	}
	ours, err := h.reclaimableContainers(ctx, containers, in)
	if err != nil {
		return out, err
	}
	images, err := h.reclaimableImages(ctx, containers, in)
	if err != nil {
		return out, err
	}
	out.Items = append(append(out.Items, ours...), images...)
	return out, nil
}

// reclaimableContainers are stopped copies whose service has another that runs, and
// ended one-off containers. The only container of a service stays, also when it
// has ended: it may be a job that did its work, and compose would run it again.
func (h Hand) reclaimableContainers(ctx context.Context, all []container.Summary, in runbook.ReclaimInput) ([]runbook.Reclaimable, error) {
	var out []runbook.Reclaimable
	alive := map[string]bool{}
	for _, c := range all {
		if c.Labels[labelProject] == in.Project && c.Labels[labelOneoff] != "True" && c.State == container.StateRunning {
			alive[c.Labels[labelService]] = true
		}
	}
	for _, c := range all {
		oneoff := c.Labels[labelOneoff] == "True"
		if c.Labels[labelProject] != in.Project || !oneoff && !alive[c.Labels[labelService]] {
			continue
		}
		full, _, err := h.API.ContainerInspectWithRaw(ctx, c.ID, c.State != container.StateRunning)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, classify(err, "container "+c.ID)
		}
		ended := endOf(full)
		if up(full.State) || ended.IsZero() || time.Since(ended) <= in.OlderThan.D() {
			continue
		}
		item := runbook.Reclaimable{Kind: kindContainer, ID: full.ID, Name: nameOf(full),
			Reason: fmt.Sprintf("%s since %s", full.State.Status, ended.UTC().Format(time.RFC3339))}
		if full.SizeRw != nil {
			item.Bytes = *full.SizeRw
		}
		out = append(out, item)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// endOf is when the container ended; one that never ran has been idle since it was
// created.
func endOf(c container.InspectResponse) time.Time {
	if t := at(c.State.FinishedAt); !t.IsZero() {
		return t
	}
	return at(c.Created)
}

// RemoveReclaimable answers runbook.RemoveReclaimable: what is not on a list made
// now is left, with the reason.
func (h Hand) RemoveReclaimable(ctx context.Context, in runbook.RemoveReclaimableInput) (runbook.Reclaimed, error) {
	if in.Item.Kind != kindContainer && in.Item.Kind != kindImage {
		return runbook.Reclaimed{}, runbook.Fail(runbook.Refused, "%s %s is not removed: only containers and images ever are", in.Item.Kind, in.Item.Name)
	}
	now, err := h.ListReclaimable(ctx, in.Bounds)
	if err != nil {
		return runbook.Reclaimed{}, err
	}
	for _, item := range now.Items {
		if item.Kind == in.Item.Kind && item.ID == in.Item.ID {
			defer beating(ctx)()
			if item.Kind == kindImage {
				return h.removeImage(ctx, item)
			}
			return h.removeStopped(ctx, item)
		}
	}
	here, err := h.exists(ctx, in.Item)
	switch {
	case err != nil:
		return runbook.Reclaimed{}, err
	case here:
		return runbook.Reclaimed{Why: "needed again, or younger than " + in.Bounds.OlderThan.String()}, nil
	case retried(ctx):
		return runbook.Reclaimed{Changed: true, Bytes: in.Item.Bytes}, nil
	default:
		return runbook.Reclaimed{Why: "gone already"}, nil
	}
}

func (h Hand) exists(ctx context.Context, item runbook.Reclaimable) (bool, error) {
	var err error
	if item.Kind == kindImage {
		_, err = h.API.ImageInspect(ctx, item.ID)
	} else {
		_, err = h.API.ContainerInspect(ctx, item.ID)
	}
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, classify(err, item.Kind+" "+item.Name)
}

// removeStopped keeps the volumes, also the anonymous ones: only a replica that a
// run made is known to hold nothing in them, and a run removes its own.
func (h Hand) removeStopped(ctx context.Context, item runbook.Reclaimable) (runbook.Reclaimed, error) {
	err := h.API.ContainerRemove(ctx, item.ID, container.RemoveOptions{})
	switch {
	case err == nil || errdefs.IsNotFound(err):
		return runbook.Reclaimed{Changed: true, Bytes: item.Bytes}, nil
	case errdefs.IsConflict(err):
		return runbook.Reclaimed{Why: plain(err).Error()}, nil
	default:
		return runbook.Reclaimed{}, classify(err, item.Name)
	}
}

// removeImage takes the names off one by one; the engine deletes with the last,
// and refuses where a container was made from it since.
func (h Hand) removeImage(ctx context.Context, item runbook.Reclaimable) (runbook.Reclaimed, error) {
	found, err := h.API.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs()})
	if err != nil {
		return runbook.Reclaimed{}, classify(err, item.Name)
	}
	names := []string{}
	for _, i := range found {
		if i.ID == item.ID {
			names = namesOf(i)
		}
	}
	for _, name := range append(names, item.ID) {
		_, err := h.API.ImageRemove(ctx, name, image.RemoveOptions{PruneChildren: true})
		switch {
		case err == nil || errdefs.IsNotFound(err):
		case errdefs.IsConflict(err):
			return runbook.Reclaimed{Why: plain(err).Error()}, nil
		default:
			return runbook.Reclaimed{}, classify(err, item.Name)
		}
	}
	return runbook.Reclaimed{Changed: true, Bytes: item.Bytes}, h.forget(item.ID)
}

// forget drops the note of when the image came.
func (h Hand) forget(id string) error {
	return h.locked(pulledFile, func() error {
		state, err := h.pulls()
		if _, noted := state.Pulled[id]; err != nil || !noted {
			return err
		}
		delete(state.Pulled, id)
		return h.write(pulledFile, state)
	})
}
