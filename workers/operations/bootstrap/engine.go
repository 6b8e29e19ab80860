package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/client"

	"github.com/leanvibe/hive/workflows/runbook"
)

// platformFile is the platform's compose file, relative to hive's sources.
const platformFile = "deploy/platform/docker-compose.platform.yml"

// answering fails with the way out where no engine answers.
func answering(ctx context.Context, api client.APIClient) error {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := api.Ping(ctx); err != nil {
		return runbook.Fail(runbook.Unreachable, "no container engine answers at %s (%v): start Docker, or have it installed and started by `make engine`", api.DaemonHost(), err)
	}
	return nil
}

// roomNeeded is what a first bring-up puts on the engine's disk: images, layers on
// their way, an empty database; room is what a later one wants to find.
const (
	roomNeeded = 4 << 30
	room       = 512 << 20
)

// enoughRoom looks at the disk that images and volumes lie on.
func enoughRoom(ctx context.Context, api client.APIClient, first bool) error {
	info, err := api.Info(ctx)
	if err != nil {
		return runbook.FailCause(runbook.Unreachable, err, "the container engine")
	}
	if info.OSType != "linux" {
		return runbook.Fail(runbook.Refused, "the container engine runs %s containers, and the stack is made of linux ones", info.OSType)
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(info.DockerRootDir, &disk); err != nil {
		return nil //nolint:nilerr // an engine whose disk this process may not see is no reason to stop
	}
	return roomFor(disk.Bavail*uint64(disk.Bsize), first, info.DockerRootDir)
}

func roomFor(free uint64, first bool, where string) error {
	need := uint64(room)
	if first {
		need = roomNeeded
	}
	if free < need {
		return runbook.Fail(runbook.Refused, "the disk of %s has %d MB free, and hive up needs %d MB there: free some (docker image prune), or move the engine's data-root",
			where, free>>20, need>>20)
	}
	return nil
}

// listener is a port of this machine that a service wants.
type listener struct {
	project, service, address string
}

// listeners are the published ports of a project, and those that a service on the
// host's network declares as x-hive.listens.
func listeners(project *types.Project) []listener {
	var out []listener
	for _, name := range project.ServiceNames() {
		svc := project.Services[name]
		for _, p := range svc.Ports {
			if p.Published != "" && p.Protocol != "udp" && !strings.Contains(p.Published, "-") {
				out = append(out, listener{project.Name, name, net.JoinHostPort(p.HostIP, p.Published)})
			}
		}
		extension, _ := svc.Extensions["x-hive"].(map[string]any)
		ports, _ := extension["listens"].([]any)
		for _, p := range ports {
			if n, ok := p.(int); ok {
				out = append(out, listener{project.Name, name, net.JoinHostPort("127.0.0.1", strconv.Itoa(n))})
			}
		}
	}
	return out
}

// portsFree fails where somebody else listens on what a service wants that does not run.
func portsFree(ctx context.Context, wanted []listener, running map[string]bool) error {
	var taken []string
	for _, l := range wanted {
		if running[l.project+"/"+l.service] {
			continue
		}
		var config net.ListenConfig
		open, err := config.Listen(ctx, "tcp", l.address)
		if err == nil {
			_ = open.Close()
			continue
		}
		taken = append(taken, fmt.Sprintf("%s, which %s needs (%v)", l.address, l.service, lastCause(err)))
	}
	if len(taken) == 0 {
		return nil
	}
	slices.Sort(taken)
	return runbook.Fail(runbook.Refused, "in use: %s; see who listens with `ss -ltnp`, and stop it", strings.Join(taken, "; "))
}

func lastCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
