package docker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/pkg/jsonmessage"
	"github.com/opencontainers/go-digest"

	"github.com/leanvibe/hive/workflows/runbook"
)

// registryTime bounds one question to a registry; it is under the step's own time,
// so that a registry that swallows packets is an answer too.
const registryTime = 10 * time.Second

// ResolveImage answers runbook.ResolveImage.
func (h Hand) ResolveImage(ctx context.Context, in runbook.ResolveImageInput) (runbook.ResolvedImage, error) {
	out := runbook.ResolvedImage{Image: in.Image, Source: "local"}
	if _, err := reference.ParseNormalizedNamed(in.Image); err != nil {
		return out, runbook.FailCause(runbook.Refused, err, "%q is no image reference", in.Image)
	}
	here, err := h.API.ImageInspect(ctx, in.Image)
	switch {
	case err == nil:
		out.LocalID, out.LocalDigest = here.ID, repoDigest(in.Image, here.RepoDigests)
	case !errdefs.IsNotFound(err):
		return out, classify(err, in.Image)
	}
	if in.Local {
		out.Why = "only the engine was asked"
		return out, nil
	}
	defer beating(ctx)()
	asking, cancel := context.WithTimeout(ctx, registryTime)
	defer cancel()
	there, err := h.API.DistributionInspect(asking, in.Image, "")
	switch {
	case err == nil:
		out.Source, out.Digest = "registry", there.Descriptor.Digest.String()
	case ctx.Err() != nil:
		return out, ctx.Err()
	case out.LocalID != "" && len(here.RepoDigests) == 0:
		out.Why = "built here, and no registry knows it: " + registryWords(err)
	default:
		out.Source, out.Why = "unreachable", registryWords(err)
	}
	return out, nil
}

func registryWords(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer within " + registryTime.String()
	}
	return clip(plain(err).Error(), tailMax)
}

// PullImage answers runbook.PullImage.
func (h Hand) PullImage(ctx context.Context, in runbook.PullImageInput) (runbook.PulledImage, error) {
	var out runbook.PulledImage
	named, err := reference.ParseNormalizedNamed(in.Image)
	if err != nil {
		return out, runbook.FailCause(runbook.Refused, err, "%q is no image reference", in.Image)
	}
	sum, err := digest.Parse(in.Digest)
	if err != nil {
		return out, runbook.FailCause(runbook.Refused, err, "%s: %q is no digest", in.Image, in.Digest)
	}
	pinned, err := reference.WithDigest(reference.TrimNamed(named), sum)
	if err != nil {
		return out, runbook.FailCause(runbook.Refused, err, "%s@%s", in.Image, in.Digest)
	}
	ref := reference.FamiliarString(pinned)
	here, err := h.API.ImageInspect(ctx, ref)
	switch {
	case err == nil:
		return runbook.PulledImage{ImageID: here.ID, Changed: retried(ctx)}, h.pulled(here.ID)
	case !errdefs.IsNotFound(err):
		return out, classify(err, ref)
	}
	if err := h.pull(ctx, ref); err != nil {
		return out, err
	}
	here, err = h.API.ImageInspect(ctx, ref)
	switch {
	case errdefs.IsNotFound(err):
		return out, runbook.Fail(runbook.Corrupt, "%s was pulled without an error and is not here", ref)
	case err != nil:
		return out, classify(err, ref)
	case repoDigest(ref, here.RepoDigests) == "":
		return out, runbook.Fail(runbook.Corrupt, "%s was pulled, and the engine knows it under no digest of its repository", ref)
	}
	return runbook.PulledImage{ImageID: here.ID, Changed: true}, h.pulled(here.ID)
}

// pull reads the engine's stream to its end: that it began says nothing, and the
// error comes inside it.
func (h Hand) pull(ctx context.Context, ref string) error {
	defer beating(ctx)()
	done, err := take(ctx, h.Turns.pulls)
	if err != nil {
		return err
	}
	defer done()
	stream, err := h.API.ImagePull(ctx, ref, image.PullOptions{})
	if err != nil {
		return pullFailure(err, ref)
	}
	defer stream.Close()
	for decoder := json.NewDecoder(stream); ; {
		var m jsonmessage.JSONMessage
		err := decoder.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return ctx.Err()
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return runbook.FailCause(runbook.Unreachable, plain(err), "pull of %s broke off", ref)
		case m.Error != nil:
			return pullFailure(m.Error, ref)
		}
	}
}

// pulledFile remembers when images came, relative to the project: the engine knows
// only when they were built. An image that was built long ago and pulled today is
// no rubbish.
const pulledFile = "out/state/images.json"

type pulledState struct {
	Pulled map[string]time.Time `json:"pulled"`
}

// pulled notes that the image came, or was wanted, now.
func (h Hand) pulled(id string) error {
	return h.locked(pulledFile, func() error {
		state, err := h.pulls()
		if err != nil {
			return err
		}
		state.Pulled[id] = time.Now()
		return h.write(pulledFile, state)
	})
}

func (h Hand) pulls() (pulledState, error) {
	state := pulledState{}
	_, err := h.read(pulledFile, &state)
	if state.Pulled == nil {
		state.Pulled = map[string]time.Time{}
	}
	return state, err
}

// TagImage answers runbook.TagImage.
func (h Hand) TagImage(ctx context.Context, in runbook.TagImageInput) (runbook.Changed, error) {
	var none runbook.Changed
	named, err := reference.ParseNormalizedNamed(in.Tag)
	if err != nil {
		return none, runbook.FailCause(runbook.Refused, err, "%q is no image reference", in.Tag)
	}
	if _, pinned := named.(reference.Digested); pinned {
		return none, runbook.Fail(runbook.Refused, "%s names an image by digest, and only tags move; take the digest out of the compose file", in.Tag)
	}
	now, err := h.API.ImageInspect(ctx, in.Tag)
	switch {
	case err == nil && now.ID == in.ImageID:
		return runbook.Changed{Changed: retried(ctx)}, nil
	case err != nil && !errdefs.IsNotFound(err):
		return none, classify(err, in.Tag)
	}
	if err := h.API.ImageTag(ctx, in.ImageID, in.Tag); err != nil {
		if errdefs.IsNotFound(err) {
			return none, runbook.Fail(runbook.Missing, "image %s is not here any more, so it cannot be tagged %s", in.ImageID, in.Tag)
		}
		return none, classify(err, in.Tag)
	}
	return runbook.Changed{Changed: true}, nil
}
