package docker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/leanvibe/hive/workflows/runbook"
)

// documents are what the engine is asked to create, as Compose would ask it.
type documents struct {
	Name     string
	Config   *container.Config
	Host     *container.HostConfig
	Platform *ocispec.Platform
	// Endpoints are the networks by the engine's name, Primary the first of them.
	Endpoints map[string]*network.EndpointSettings
	Primary   string
}

// translate writes the service down as the engine's create documents. It reads no
// state of the engine, so the same input gives the same documents.
func translate(project *types.Project, svc types.ServiceConfig, o Options) (documents, error) {
	var none documents
	if lost := Untranslated(svc); len(lost) > 0 {
		return none, refuse(svc, "hive cannot translate %s, and the container would lose it; remove it, or leave the service to docker compose", strings.Join(lost, ", "))
	}
	config, err := containerConfig(svc)
	if err != nil {
		return none, err
	}
	host, err := hostConfig(project, svc)
	if err != nil {
		return none, err
	}
	platform, err := platformOf(svc)
	if err != nil {
		return none, err
	}
	d := documents{Name: containerName(project.Name, svc, o.Number), Config: config, Host: host, Platform: platform}
	if err := d.connect(project, svc, o); err != nil {
		return none, err
	}
	config.Labels, err = containerLabels(project, svc, o)
	return d, err
}

func refuse(svc types.ServiceConfig, format string, args ...any) error {
	return runbook.Fail(runbook.Refused, "service %s: %s", svc.Name, fmt.Sprintf(format, args...))
}

func containerName(project string, svc types.ServiceConfig, number int) string {
	if svc.ContainerName != "" {
		return svc.ContainerName
	}
	return fmt.Sprintf("%s-%s-%d", project, svc.Name, number)
}

// imageName is the reference, or Compose's own where the file only says how to build.
func imageName(project string, svc types.ServiceConfig) string {
	if svc.Image != "" {
		return svc.Image
	}
	return project + "-" + svc.Name
}

func containerLabels(project *types.Project, svc types.ServiceConfig, o Options) (map[string]string, error) {
	hash, err := Hash(svc)
	if err != nil {
		return nil, refuse(svc, "it has no configuration hash: %s", err)
	}
	var depends []string
	for name, d := range svc.DependsOn {
		depends = append(depends, fmt.Sprintf("%s:%s:%t", name, d.Condition, d.Restart))
	}
	sort.Strings(depends)
	labels := merged(svc.Labels, map[string]string{
		labelProject: project.Name, labelService: svc.Name, labelNumber: strconv.Itoa(o.Number), labelOneoff: "False",
		labelHash: hash, labelVersion: composeVersion, labelDependsOn: strings.Join(depends, ","),
		labelWorkingDir: project.WorkingDir, labelConfigFiles: strings.Join(project.ComposeFiles, ","),
		labelImage: o.ImageID, labelReference: o.Image,
	})
	if o.Run != "" {
		labels[labelRun] = o.Run
	}
	return labels, nil
}

func containerConfig(svc types.ServiceConfig) (*container.Config, error) {
	health, err := healthcheck(svc)
	if err != nil {
		return nil, err
	}
	exposed, err := exposedPorts(svc)
	if err != nil {
		return nil, err
	}
	return &container.Config{
		Hostname: svc.Hostname, Domainname: svc.DomainName, User: svc.User, WorkingDir: svc.WorkingDir,
		ExposedPorts: exposed, Tty: svc.Tty, OpenStdin: svc.StdinOpen, AttachStdout: true, AttachStderr: true,
		Cmd: []string(svc.Command), Entrypoint: []string(svc.Entrypoint), Env: environment(svc.Environment),
		NetworkDisabled: svc.NetworkMode == "disabled", Healthcheck: health,
		StopSignal: svc.StopSignal, StopTimeout: seconds(svc.StopGracePeriod),
	}, nil
}

func hostConfig(project *types.Project, svc types.ServiceConfig) (*container.HostConfig, error) {
	binds, mounts, err := volumesOf(project, svc)
	if err != nil {
		return nil, err
	}
	bindings, err := portBindings(svc)
	if err != nil {
		return nil, err
	}
	security, unconfined, err := securityOptions(project, svc)
	if err != nil {
		return nil, err
	}
	tmpfs := map[string]string{}
	for _, t := range svc.Tmpfs {
		target, options, _ := strings.Cut(t, ":")
		tmpfs[target] = options
	}
	host := &container.HostConfig{
		Annotations: svc.Annotations, Binds: binds, Mounts: mounts, Tmpfs: tmpfs, VolumeDriver: svc.VolumeDriver,
		CapAdd: svc.CapAdd, CapDrop: svc.CapDrop, SecurityOpt: security, Privileged: svc.Privileged, GroupAdd: svc.GroupAdd,
		NetworkMode: container.NetworkMode(svc.NetworkMode), IpcMode: container.IpcMode(svc.Ipc), PidMode: container.PidMode(svc.Pid),
		UTSMode: container.UTSMode(svc.Uts), UsernsMode: container.UsernsMode(svc.UserNSMode), CgroupnsMode: container.CgroupnsMode(svc.Cgroup),
		Init: svc.Init, ReadonlyRootfs: svc.ReadOnly, RestartPolicy: restartPolicy(svc), PortBindings: bindings,
		DNS: svc.DNS, DNSSearch: svc.DNSSearch, DNSOptions: svc.DNSOpts, ExtraHosts: svc.ExtraHosts.AsList(":"),
		ShmSize: int64(svc.ShmSize), Sysctls: svc.Sysctls, StorageOpt: svc.StorageOpt, Resources: resources(svc),
		Isolation: container.Isolation(svc.Isolation), Runtime: svc.Runtime, OomScoreAdj: int(svc.OomScoreAdj),
	}
	if svc.Logging != nil {
		host.LogConfig = container.LogConfig{Type: svc.Logging.Driver, Config: svc.Logging.Options}
	}
	if unconfined {
		host.MaskedPaths, host.ReadonlyPaths = []string{}, []string{}
	}
	return host, nil
}

// environment is sorted, so that the same service gives the same document; a name
// without a value is passed on as Compose does, and the engine leaves it unset.
func environment(env types.MappingWithEquals) []string {
	var out []string
	for name, value := range env {
		if value == nil {
			out = append(out, name)
		} else {
			out = append(out, name+"="+*value)
		}
	}
	sort.Strings(out)
	return out
}

func seconds(d *types.Duration) *int {
	if d == nil {
		return nil
	}
	s := int(time.Duration(*d).Seconds())
	return &s
}

func healthcheck(svc types.ServiceConfig) (*container.HealthConfig, error) {
	c := svc.HealthCheck
	if c == nil {
		return nil, nil
	}
	out := &container.HealthConfig{Test: c.Test}
	if c.Disable {
		out.Test = []string{"NONE"}
	}
	for _, d := range []struct {
		from *types.Duration
		to   *time.Duration
	}{{c.Interval, &out.Interval}, {c.Timeout, &out.Timeout}, {c.StartPeriod, &out.StartPeriod}, {c.StartInterval, &out.StartInterval}} {
		if d.from != nil {
			*d.to = time.Duration(*d.from)
		}
	}
	if c.Retries != nil {
		out.Retries = int(*c.Retries)
	}
	if c.StartInterval != nil && c.StartPeriod == nil {
		return nil, refuse(svc, "healthcheck.start_interval needs healthcheck.start_period")
	}
	return out, nil
}

func exposedPorts(svc types.ServiceConfig) (nat.PortSet, error) {
	out := nat.PortSet{}
	for _, p := range svc.Ports {
		port, err := portOf(svc, p)
		if err != nil {
			return nil, err
		}
		out[port] = struct{}{}
	}
	for _, text := range svc.Expose {
		protocol, span := nat.SplitProtoPort(text)
		first, last, err := nat.ParsePortRange(span)
		if err != nil {
			return nil, refuse(svc, "expose %q: %s", text, err)
		}
		for n := first; n <= last; n++ {
			port, err := nat.NewPort(protocol, strconv.FormatUint(n, 10))
			if err != nil {
				return nil, refuse(svc, "expose %q: %s", text, err)
			}
			out[port] = struct{}{}
		}
	}
	return out, nil
}

func portOf(svc types.ServiceConfig, p types.ServicePortConfig) (nat.Port, error) {
	protocol := p.Protocol
	if protocol == "" {
		protocol = "tcp"
	}
	port, err := nat.NewPort(protocol, strconv.FormatUint(uint64(p.Target), 10))
	if err != nil {
		return "", refuse(svc, "port %d: %s", p.Target, err)
	}
	return port, nil
}

func portBindings(svc types.ServiceConfig) (nat.PortMap, error) {
	out := nat.PortMap{}
	for _, p := range svc.Ports {
		port, err := portOf(svc, p)
		if err != nil {
			return nil, err
		}
		out[port] = append(out[port], nat.PortBinding{HostIP: p.HostIP, HostPort: p.Published})
	}
	return out, nil
}

func restartPolicy(svc types.ServiceConfig) container.RestartPolicy {
	var out container.RestartPolicy
	if svc.Restart != "" {
		name, count, _ := strings.Cut(svc.Restart, ":")
		out.Name = restartMode(name)
		if n, err := strconv.Atoi(count); err == nil {
			out.MaximumRetryCount = n
		}
	}
	if svc.Deploy != nil && svc.Deploy.RestartPolicy != nil {
		p := svc.Deploy.RestartPolicy
		out = container.RestartPolicy{Name: restartMode(p.Condition)}
		if p.MaxAttempts != nil {
			out.MaximumRetryCount = int(*p.MaxAttempts)
		}
	}
	return out
}

func restartMode(condition string) container.RestartPolicyMode {
	switch condition {
	case "none", "no":
		return container.RestartPolicyDisabled
	case "any", "always":
		return container.RestartPolicyAlways
	default:
		return container.RestartPolicyMode(condition)
	}
}

// securityOptions reads a seccomp profile's file into its option, as the CLI does:
// the engine takes the profile itself.
func securityOptions(project *types.Project, svc types.ServiceConfig) (options []string, unconfined bool, err error) {
	for _, option := range svc.SecurityOpt {
		if option == "systempaths=unconfined" {
			unconfined = true
			continue
		}
		key, value, pair := strings.Cut(option, "=")
		if !pair && key != "no-new-privileges" {
			if key, value, pair = strings.Cut(option, ":"); !pair {
				return nil, false, refuse(svc, "security_opt %q is neither a name=value nor no-new-privileges", option)
			}
		}
		if key == "seccomp" && value != "unconfined" && value != "builtin" {
			profile, err := os.ReadFile(project.RelativePath(value))
			if err != nil {
				return nil, false, classifyFile(err, value)
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, profile); err != nil {
				return nil, false, refuse(svc, "seccomp profile %s is no JSON: %s", value, err)
			}
			option = "seccomp=" + compact.String()
		}
		options = append(options, option)
	}
	return options, unconfined, nil
}

func platformOf(svc types.ServiceConfig) (*ocispec.Platform, error) {
	if svc.Platform == "" {
		return nil, nil
	}
	const most = 3
	parts := strings.Split(svc.Platform, "/")
	if len(parts) < 2 || len(parts) > most {
		return nil, refuse(svc, "platform %q: write it as os/architecture, for example linux/amd64", svc.Platform)
	}
	out := &ocispec.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == most {
		out.Variant = parts[2]
	}
	return out, nil
}
