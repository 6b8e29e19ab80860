// Package proxy is the hand on nginx, the users' front door: it writes the files of
// upstream addresses, has nginx check and load them, and reads nginx's own access
// log, which is the one witness of where requests went and what became of them.
//
// A file of addresses is never believed to be in force because it lies on the disk:
// every answer of nginx carries the generation that its workers loaded.
package proxy

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"go.temporal.io/sdk/activity"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	labelProject = "com.docker.compose.project"
	labelService = "com.docker.compose.service"
)

// API is what the hand asks of the engine; every client.APIClient has it.
type API interface {
	ContainerList(ctx context.Context, options container.ListOptions) ([]container.Summary, error)
	ContainerExecCreate(ctx context.Context, containerID string, options container.ExecOptions) (container.ExecCreateResponse, error)
	ContainerExecAttach(ctx context.Context, execID string, options container.ExecAttachOptions) (types.HijackedResponse, error)
	ContainerExecInspect(ctx context.Context, execID string) (container.ExecInspect, error)
}

// Hand acts on the proxy of one project.
type Hand struct {
	// API is the engine that runs the proxy.
	API API
	// ProjectDir is the absolute project root.
	ProjectDir string
	// TLS is for a proxy URL over https; nil trusts what the machine trusts.
	TLS *tls.Config
}

// locate returns the ID of the one running container of the proxy.
func (h Hand) locate(ctx context.Context, in runbook.ProxyInput) (string, error) {
	all, err := h.containers(ctx, in)
	if err != nil {
		return "", err
	}
	running := ""
	for _, c := range all {
		if c.State != container.StateRunning {
			continue
		}
		if running != "" {
			return "", runbook.Fail(runbook.Refused, "service %s of %s has more than one running container: only one proxy is looked after; scale it to 1", in.Proxy.Service, in.Project)
		}
		running = c.ID
	}
	switch {
	case running != "":
		return running, nil
	case len(all) > 0:
		return "", runbook.Fail(runbook.Unreachable, "the proxy %s of %s is %s, not running: hive up starts it", in.Proxy.Service, in.Project, all[0].State)
	default:
		return "", runbook.Fail(runbook.Missing, "project %s has no container of service %s: hive up makes it", in.Project, in.Proxy.Service)
	}
}

func (h Hand) containers(ctx context.Context, in runbook.ProxyInput) ([]container.Summary, error) {
	all, err := h.API.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", labelProject+"="+in.Project), filters.Arg("label", labelService+"="+in.Proxy.Service),
	)})
	if err != nil {
		return nil, classify(err, "the docker engine")
	}
	return all, nil
}

// path is the absolute path of a directory that the policy names.
func (h Hand) path(directory string) (string, error) {
	if !filepath.IsLocal(directory) {
		return "", runbook.Fail(runbook.Refused, "%q is no directory inside the project", directory)
	}
	return filepath.Join(h.ProjectDir, directory), nil
}

// began is when the act was first asked for: a retry goes on with the time that
// its predecessor had, it does not start it anew.
func began(ctx context.Context) time.Time {
	if activity.IsActivity(ctx) {
		if at := activity.GetInfo(ctx).ScheduledTime; !at.IsZero() {
			return at
		}
	}
	return time.Now()
}

// retried says that an earlier attempt of this act may have worked.
func retried(ctx context.Context) bool {
	return activity.IsActivity(ctx) && activity.GetInfo(ctx).Attempt > 1
}

// beatEvery is well below the steps' heartbeat timeout of 10 s; a cancellation comes
// back with a heartbeat, so this is also how soon it is heard.
const beatEvery = time.Second

// beating heartbeats until the returned call.
func beating(ctx context.Context) (stop func()) {
	if !activity.IsActivity(ctx) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			activity.RecordHeartbeat(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() { cancel(); <-ended }
}
