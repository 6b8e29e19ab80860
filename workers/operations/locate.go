package operations

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/leanvibe/hive/workflows/runbook"
)

// locator finds the containers of services for the hands that speak to what runs
// inside them.
type locator struct{ engine client.APIClient }

// address answers the address of the service's first running container. None is
// Unreachable, because the service is declared: it may come back within the step.
func (l locator) address(ctx context.Context, project, service string) (string, error) {
	c, err := l.running(ctx, project, service)
	if err != nil {
		return "", err
	}
	networks := c.NetworkSettings.Networks
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		if ip := networks[name].IPAddress; ip != "" {
			return ip, nil
		}
	}
	return "", runbook.Fail(runbook.Unreachable, "service %s: its container %s has no address of its own", service, named(c))
}

// freeDisk answers the bytes free on the disk of the service's data: the file system
// of its first volume, as the container itself sees it.
func (l locator) freeDisk(ctx context.Context, project, service string) (int64, error) {
	c, err := l.running(ctx, project, service)
	if err != nil {
		return 0, err
	}
	var volumes []string
	for _, m := range c.Mounts {
		if m.Type == mount.TypeVolume && m.RW {
			volumes = append(volumes, m.Destination)
		}
	}
	if len(volumes) == 0 {
		return 0, fmt.Errorf("container %s has no volume", named(c))
	}
	out, err := l.exec(ctx, c.ID, "df", "-Pk", slices.Min(volumes))
	if err != nil {
		return 0, err
	}
	return freeOf(out)
}

// freeOf reads the answer of `df -Pk`: a line of headings, then size, used and
// available in KiB from the second column on.
func freeOf(out string) (int64, error) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if fields := strings.Fields(lines[len(lines)-1]); len(lines) == 2 && len(fields) >= 6 {
		if kib, err := strconv.ParseInt(fields[3], 10, 64); err == nil {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("df answered %q", out)
}

func (l locator) running(ctx context.Context, project, service string) (container.Summary, error) {
	list, err := l.engine.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(
		filters.Arg("label", projectLabel+"="+project), filters.Arg("label", serviceLabel+"="+service),
		filters.Arg("status", "running"),
	)})
	if err != nil {
		return container.Summary{}, runbook.FailCause(runbook.Unreachable, err, "service %s: the container engine does not answer", service)
	}
	if len(list) == 0 {
		return container.Summary{}, runbook.Fail(runbook.Unreachable, "service %s of %s has no running container; hive up starts it", service, project)
	}
	return slices.MinFunc(list, func(a, b container.Summary) int { return strings.Compare(named(a), named(b)) }), nil
}

func (l locator) exec(ctx context.Context, id string, command ...string) (string, error) {
	made, err := l.engine.ContainerExecCreate(ctx, id, container.ExecOptions{Cmd: command, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return "", err
	}
	stream, err := l.engine.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{})
	if err != nil {
		return "", err
	}
	defer stream.Close()
	// The stream of an exec knows no context: closing it ends the read.
	defer context.AfterFunc(ctx, stream.Close)()
	var out, errs bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &errs, stream.Reader); err != nil {
		return "", err
	}
	ended, err := l.engine.ContainerExecInspect(ctx, made.ID)
	if err != nil {
		return "", err
	}
	if ended.ExitCode != 0 {
		return "", fmt.Errorf("%s: exit code %d: %.200s", command[0], ended.ExitCode, errs.String())
	}
	return out.String(), nil
}

func named(c container.Summary) string {
	if len(c.Names) == 0 {
		return c.ID
	}
	return strings.TrimPrefix(c.Names[0], "/")
}

// Labels that compose, and we as compose does, put on each container.
const (
	projectLabel = "com.docker.compose.project"
	serviceLabel = "com.docker.compose.service"
)
