package docker

import (
	"context"
	"runtime"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"github.com/leanvibe/hive/workflows/runbook"
)

// chosen is the image a container shall run.
type chosen struct {
	// Name is what the engine is asked for, and what `docker ps` prints.
	Name string
	ID   string
	// Content is what Compose's image label holds: the ID, or on engines that keep
	// attestations beside the image the digest of the image alone.
	Content string
}

// choose finds what the container runs, and the best name for it: the reference
// where that names it now, else its digest in the same repository, else its ID.
func (h Hand) choose(ctx context.Context, o Options) (chosen, error) {
	named, err := h.inspectImage(ctx, o.Image)
	if err != nil && !errdefs.IsNotFound(err) {
		return chosen{}, classify(err, o.Image)
	}
	if err == nil && (o.ImageID == "" || o.ImageID == named.ID) {
		return chosen{o.Image, named.ID, content(named)}, nil
	}
	if o.ImageID == "" {
		return chosen{}, runbook.Fail(runbook.Missing, "image %s is not here; pull or build it first", o.Image)
	}
	wanted, err := h.inspectImage(ctx, o.ImageID)
	if errdefs.IsNotFound(err) {
		return chosen{}, runbook.Fail(runbook.Missing, "image %s of %s is not here any more; pull it first", o.ImageID, o.Image)
	}
	if err != nil {
		return chosen{}, classify(err, o.ImageID)
	}
	out := chosen{wanted.ID, wanted.ID, content(wanted)}
	if digest := repoDigest(o.Image, wanted.RepoDigests); digest != "" {
		out.Name = repository(o.Image) + "@" + digest
	}
	return out, nil
}

func (h Hand) inspectImage(ctx context.Context, name string) (image.InspectResponse, error) {
	const manifestsFrom = "1.48"
	var options []client.ImageInspectOption
	if h.since(ctx, manifestsFrom) {
		options = append(options, client.ImageInspectWithManifests(true))
	}
	return h.API.ImageInspect(ctx, name, options...)
}

// content is the digest of what runs, as Compose's CLI computes it: of the
// available manifests the one for this machine, or the only one; else the ID.
func content(i image.InspectResponse) string {
	var available []image.ManifestSummary
	for _, m := range i.Manifests {
		if m.Kind == image.ManifestKindImage && m.Available {
			available = append(available, m)
		}
	}
	for _, m := range available {
		if m.ImageData != nil && m.ImageData.Platform.OS == runtime.GOOS && m.ImageData.Platform.Architecture == runtime.GOARCH {
			return m.ID
		}
	}
	if len(available) == 1 {
		return available[0].ID
	}
	return i.ID
}

// repository is the familiar name of a reference without tag and digest, "" where
// it is none (an image ID).
func repository(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil || strings.HasPrefix(image, "sha256:") {
		return ""
	}
	return reference.FamiliarName(named)
}

// repoDigest is the digest under which the reference's repository knows the image.
func repoDigest(ref string, digests []string) string {
	repo := repository(ref)
	for _, text := range digests {
		named, err := reference.ParseNormalizedNamed(text)
		if err != nil || repo == "" || reference.FamiliarName(named) != repo {
			continue
		}
		if d, ok := named.(reference.Digested); ok {
			return d.Digest().String()
		}
	}
	return ""
}
