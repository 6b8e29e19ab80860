package docker

import (
	"os"
	"sort"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/mount"
)

// volumesOf are the service's volumes, secrets and configs. Compose hands plain
// binds and volumes to the engine in the older string form, in which the engine
// makes a missing directory; only what that form cannot say becomes a mount.
func volumesOf(project *types.Project, svc types.ServiceConfig) (binds []string, mounts []mount.Mount, err error) {
	taken := map[string]bool{}
	for _, v := range svc.Volumes {
		taken[v.Target] = true
		m := mountOf(project, v)
		switch {
		case m.Type == mount.TypeBind && plainBind(v.Bind):
			binds = append(binds, bindString(m.Source, v))
		case m.Type == mount.TypeVolume && declared(project, m.Source) && plainVolume(v.Volume):
			binds = append(binds, bindString(m.Source, v))
		default:
			mounts = append(mounts, m)
		}
	}
	files, err := filesOf(project, svc)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range files {
		if !taken[m.Target] {
			mounts = append(mounts, m)
		}
	}
	sort.Strings(binds)
	sort.Slice(mounts, func(i, j int) bool { return mounts[i].Target < mounts[j].Target })
	return binds, mounts, nil
}

func mountOf(project *types.Project, v types.ServiceVolumeConfig) mount.Mount {
	m := mount.Mount{
		Type: mount.Type(v.Type), Source: v.Source, Target: v.Target, ReadOnly: v.ReadOnly,
		Consistency: mount.Consistency(v.Consistency),
	}
	switch v.Type {
	case types.VolumeTypeBind:
		m.BindOptions = bindOptions(v.Bind)
	case types.VolumeTypeVolume:
		if named, ok := project.Volumes[v.Source]; ok {
			m.Source = named.Name
		}
		if v.Volume != nil {
			m.VolumeOptions = &mount.VolumeOptions{NoCopy: v.Volume.NoCopy, Subpath: v.Volume.Subpath, Labels: v.Volume.Labels}
		}
	case types.VolumeTypeTmpfs:
		if v.Tmpfs != nil {
			m.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: int64(v.Tmpfs.Size), Mode: os.FileMode(v.Tmpfs.Mode)}
		}
	}
	return m
}

func bindOptions(b *types.ServiceVolumeBind) *mount.BindOptions {
	if b == nil {
		return nil
	}
	out := &mount.BindOptions{Propagation: mount.Propagation(b.Propagation), CreateMountpoint: bool(b.CreateHostPath)}
	switch b.Recursive {
	case "disabled":
		out.NonRecursive = true
	case "writable":
		out.ReadOnlyNonRecursive = true
	case "readonly":
		out.ReadOnlyForceRecursive = true
	}
	return out
}

func plainBind(b *types.ServiceVolumeBind) bool {
	return b == nil || bool(b.CreateHostPath) && b.Propagation == "" && b.Recursive == ""
}

func plainVolume(v *types.ServiceVolumeVolume) bool {
	return v == nil || len(v.Labels) == 0 && v.Subpath == "" && !v.NoCopy
}

func declared(project *types.Project, name string) bool {
	for _, v := range project.Volumes {
		if v.Name == name {
			return true
		}
	}
	return false
}

func bindString(source string, v types.ServiceVolumeConfig) string {
	options := []string{"rw"}
	if v.ReadOnly {
		options[0] = "ro"
	}
	if v.Bind != nil && v.Bind.SELinux != "" {
		options = append(options, v.Bind.SELinux)
	}
	return source + ":" + v.Target + ":" + strings.Join(options, ",")
}

// filesOf are the secrets and configs, each the bind mount of a file.
func filesOf(project *types.Project, svc types.ServiceConfig) ([]mount.Mount, error) {
	var out []mount.Mount
	for _, s := range svc.Secrets {
		m, err := fileMount(svc, "secret", "/run/secrets/", types.FileReferenceConfig(s), types.FileObjectConfig(project.Secrets[s.Source]))
		if err != nil {
			return nil, err
		}
		m.BindOptions = &mount.BindOptions{}
		out = append(out, m)
	}
	for _, c := range svc.Configs {
		m, err := fileMount(svc, "config", "/", types.FileReferenceConfig(c), types.FileObjectConfig(project.Configs[c.Source]))
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func fileMount(svc types.ServiceConfig, kind, dir string, use types.FileReferenceConfig, file types.FileObjectConfig) (mount.Mount, error) {
	if file.File == "" || bool(file.External) || file.Driver != "" || file.TemplateDriver != "" {
		return mount.Mount{}, refuse(svc, "%s %s: only a file can be mounted into containers made by hive; write file: instead of content, environment, external or driver", kind, use.Source)
	}
	target := use.Target
	if target == "" {
		target = use.Source
	}
	if !strings.HasPrefix(target, "/") {
		target = dir + target
	}
	return mount.Mount{Type: mount.TypeBind, Source: file.File, Target: target, ReadOnly: true}, nil
}
