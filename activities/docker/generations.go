package docker

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"github.com/leanvibe/hive/workflows/runbook"
)

// rollbackTags is the repository, before the service's name, of the tags that keep
// an image for a rollback.
const rollbackTags = "hive-rollback/"

// generation is one image of a service.
type generation struct {
	image image.InspectResponse
	names []string
	// came is the latest of built, tagged and pulled.
	came time.Time
}

// reclaimableImages are unreferenced images of the project's services that are old
// and not among the newest generations that are kept beside those in use.
func (h Hand) reclaimableImages(ctx context.Context, containers []container.Summary, in runbook.ReclaimInput) ([]runbook.Reclaimable, error) {
	used, wanted, groups := map[string]bool{}, map[string]bool{}, map[string]string{}
	for _, c := range containers {
		used[c.ImageID] = true
		if c.Labels[labelProject] != in.Project {
			continue
		}
		ref := c.Labels[labelReference]
		if ref == "" {
			ref = c.Image
		}
		wanted[ref] = true
		if repo := repository(ref); repo != "" {
			groups[repo] = repo
			groups[rollbackTags+c.Labels[labelService]] = repo
		}
	}
	listed, err := h.API.ImageList(ctx, image.ListOptions{})
	if err != nil {
		return nil, classify(err, "images")
	}
	pulls, err := h.pulls()
	if err != nil {
		return nil, err
	}
	byGroup, kept := map[string][]*generation{}, map[*generation]bool{}
	for _, i := range listed {
		member := groupsOf(i, groups, in.Project)
		if len(member) == 0 || used[i.ID] {
			continue
		}
		full, err := h.API.ImageInspect(ctx, i.ID)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, classify(err, i.ID)
		}
		g := &generation{image: full, names: namesOf(i), came: latest(at(full.Created), full.Metadata.LastTagTime, pulls.Pulled[i.ID])}
		for _, tag := range i.RepoTags {
			kept[g] = kept[g] || wanted[tag]
		}
		for group := range member {
			byGroup[group] = append(byGroup[group], g)
		}
	}
	old := map[*generation]bool{}
	for _, generations := range byGroup {
		sort.Slice(generations, func(i, j int) bool {
			a, b := generations[i], generations[j]
			if !a.came.Equal(b.came) {
				return a.came.After(b.came)
			}
			return a.image.ID < b.image.ID
		})
		for n, g := range generations {
			kept[g] = kept[g] || n < in.KeepGenerations || time.Since(g.came) <= in.OlderThan.D()
			old[g] = true
		}
	}
	var out []runbook.Reclaimable
	var layers map[string][]string
	for g := range old {
		if kept[g] {
			continue
		}
		if layers == nil {
			if layers, err = h.layersOf(ctx, listed); err != nil {
				return nil, err
			}
		}
		bytes, err := h.ownBytes(ctx, g.image, layers)
		if err != nil {
			return nil, err
		}
		name := g.image.ID
		if len(g.names) > 0 {
			name = g.names[0]
		}
		out = append(out, runbook.Reclaimable{Kind: kindImage, ID: g.image.ID, Name: name, Bytes: bytes,
			Reason: fmt.Sprintf("no container needs it, %d newer are kept, last tagged or pulled %s", in.KeepGenerations, g.came.UTC().Format(time.RFC3339))})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// groupsOf are the services' repositories that the image is a generation of: by a
// tag, by a digest that outlived its tag, by a rollback tag of ours, or by the label
// of an image that Compose built for the project.
func groupsOf(i image.Summary, groups map[string]string, project string) map[string]bool {
	out := map[string]bool{}
	for _, name := range namesOf(i) {
		if group, ok := groups[repository(name)]; ok {
			out[group] = true
		}
	}
	if len(out) == 0 && i.Labels[labelProject] == project {
		out[project+"-"+i.Labels[labelService]] = true
	}
	return out
}

// namesOf are the image's tags, then its digests, each sorted; "<none>" is no name.
func namesOf(i image.Summary) []string {
	var out []string
	for _, names := range [][]string{i.RepoTags, i.RepoDigests} {
		sorted := append([]string{}, names...)
		sort.Strings(sorted)
		for _, n := range sorted {
			if !strings.Contains(n, "<none>") {
				out = append(out, n)
			}
		}
	}
	return out
}

func latest(times ...time.Time) time.Time {
	var out time.Time
	for _, t := range times {
		if t.After(out) {
			out = t
		}
	}
	return out
}

// layersOf are the layers of each image.
func (h Hand) layersOf(ctx context.Context, all []image.Summary) (map[string][]string, error) {
	out := map[string][]string{}
	for _, i := range all {
		full, err := h.API.ImageInspect(ctx, i.ID)
		switch {
		case err == nil:
			out[i.ID] = full.RootFS.Layers
		case !errdefs.IsNotFound(err):
			return nil, classify(err, i.ID)
		}
	}
	return out, nil
}

// ownBytes is the size of the layers that no other image shares: what removing the
// image frees. Where the history does not line up with the layers, nothing is
// claimed to be freed.
func (h Hand) ownBytes(ctx context.Context, i image.InspectResponse, layers map[string][]string) (int64, error) {
	shared := 0
	for id, other := range layers {
		if id != i.ID {
			shared = max(shared, common(i.RootFS.Layers, other))
		}
	}
	history, err := h.API.ImageHistory(ctx, i.ID)
	if err != nil {
		return 0, classify(err, i.ID)
	}
	var sizes []int64 // from the first layer up; entries without a layer have no size
	for n := len(history) - 1; n >= 0; n-- {
		if history[n].Size > 0 {
			sizes = append(sizes, history[n].Size)
		}
	}
	if len(sizes) != len(i.RootFS.Layers) {
		return 0, nil
	}
	var own int64
	for _, size := range sizes[shared:] {
		own += size
	}
	return own, nil
}

// common is how many layers two images share, from the first up.
func common(a, b []string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
