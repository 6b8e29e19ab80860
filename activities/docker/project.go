package docker

import (
	"context"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Networks makes the project's networks, with Compose's labels and hash. One of
// the same configuration stays; one that has changed is Unsafe, because making it
// anew would cut every container off.
func (h Hand) Networks(ctx context.Context, project *types.Project) error {
	for _, key := range project.NetworkNames() {
		if err := h.network(ctx, project, key, project.Networks[key]); err != nil {
			return err
		}
	}
	return nil
}

func (h Hand) network(ctx context.Context, project *types.Project, key string, n types.NetworkConfig) error {
	hash, err := networkHash(n)
	if err != nil {
		return runbook.FailCause(runbook.Refused, err, "network %s has no configuration hash", key)
	}
	found, err := h.API.NetworkInspect(ctx, n.Name, network.InspectOptions{})
	switch {
	case err == nil && found.Name == n.Name: // the engine also answers to a part of an ID
		return h.keepAs("network "+n.Name, project.Name, bool(n.External), found.Labels, hash)
	case err != nil && !errdefs.IsNotFound(err):
		return classify(err, "network "+n.Name)
	case bool(n.External):
		return runbook.Fail(runbook.Missing, "network %s is declared external and does not exist: docker network create %s", key, n.Name)
	}
	options := network.CreateOptions{
		Driver: n.Driver, Options: n.DriverOpts, Internal: n.Internal, Attachable: n.Attachable,
		EnableIPv4: n.EnableIPv4, EnableIPv6: n.EnableIPv6, IPAM: ipam(n.Ipam),
		Labels: merged(n.Labels, map[string]string{labelProject: project.Name, labelNetwork: key, labelVersion: composeVersion, labelHash: hash}),
	}
	_, err = h.API.NetworkCreate(ctx, n.Name, options)
	if errdefs.IsConflict(err) { // somebody made it since we looked
		return nil
	}
	return classify(err, "network "+n.Name)
}

func ipam(c types.IPAMConfig) *network.IPAM {
	if c.Driver == "" && len(c.Config) == 0 && len(c.Options) == 0 {
		return nil
	}
	out := &network.IPAM{Driver: c.Driver, Options: c.Options}
	for _, p := range c.Config {
		out.Config = append(out.Config, network.IPAMConfig{
			Subnet: p.Subnet, IPRange: p.IPRange, Gateway: p.Gateway, AuxAddress: p.AuxiliaryAddresses,
		})
	}
	return out
}

// Volumes makes the project's named volumes, with Compose's labels and hash. One
// that is here stays as it is: it may hold the data.
func (h Hand) Volumes(ctx context.Context, project *types.Project) error {
	for _, key := range project.VolumeNames() {
		if err := h.volume(ctx, project, key, project.Volumes[key]); err != nil {
			return err
		}
	}
	return nil
}

func (h Hand) volume(ctx context.Context, project *types.Project, key string, v types.VolumeConfig) error {
	hash, err := volumeHash(v)
	if err != nil {
		return runbook.FailCause(runbook.Refused, err, "volume %s has no configuration hash", key)
	}
	found, err := h.API.VolumeInspect(ctx, v.Name)
	switch {
	case err == nil:
		return h.keepAs("volume "+v.Name, project.Name, bool(v.External), found.Labels, hash)
	case !errdefs.IsNotFound(err):
		return classify(err, "volume "+v.Name)
	case bool(v.External):
		return runbook.Fail(runbook.Missing, "volume %s is declared external and does not exist: docker volume create %s", key, v.Name)
	}
	_, err = h.API.VolumeCreate(ctx, volume.CreateOptions{
		Name: v.Name, Driver: v.Driver, DriverOpts: v.DriverOpts,
		Labels: merged(v.Labels, map[string]string{labelProject: project.Name, labelVolume: key, labelVersion: composeVersion, labelHash: hash}),
	})
	return classify(err, "volume "+v.Name)
}

// keepAs judges what is here already as Compose does: without a hash, or of
// another project, it is used untouched; with another hash it has changed.
func (h Hand) keepAs(what, project string, external bool, labels map[string]string, hash string) error {
	if external || labels[labelProject] != project || labels[labelHash] == "" || labels[labelHash] == hash {
		return nil
	}
	return runbook.Fail(runbook.Unsafe, "%s was made from another configuration; to change it, take the project down with it first", what)
}
