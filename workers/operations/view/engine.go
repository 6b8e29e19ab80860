// Package view looks at the running stack through the container engine, for `hive status`, `hive logs` and
// `hive stats`: reading only, nothing here changes anything.
package view

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"github.com/leanvibe/hive/activities/docker"
)

// Labels that compose, and we as compose does, put on each container.
const (
	projectLabel = "com.docker.compose.project"
	serviceLabel = "com.docker.compose.service"
	numberLabel  = "com.docker.compose.container-number"
)

// Engine is a container engine that has answered.
type Engine struct{ api *client.Client }

// Open connects to the engine that the environment names (DOCKER_HOST, else the local socket). The error says which
// one was asked and what to do.
func Open(ctx context.Context) (*Engine, error) {
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, fmt.Errorf("container engine: %w; look at DOCKER_HOST", err)
	}
	if _, err := api.Ping(ctx); err != nil {
		_ = api.Close()
		return nil, fmt.Errorf("no container engine answers at %s (%w): start Docker, or let `hive up` do it", api.DaemonHost(), err)
	}
	return &Engine{api: api}, nil
}

// Close ends the connection.
func (e *Engine) Close() error { return e.api.Close() }

// Container is one container of a project as the engine lists it.
type Container struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Project string `json:"project"`
	Service string `json:"service"`
	Number  int    `json:"number"`
	Image   string `json:"image"`
	// State is the engine's word; Health is healthy, unhealthy, starting, or empty where there is no HEALTHCHECK.
	State  string `json:"state"`
	Health string `json:"health,omitempty"`
	// Status is the engine's sentence, such as "Up 3 hours (healthy)".
	Status string `json:"status"`
}

// Containers lists the project's containers, running or not, by service and number.
func (e *Engine) Containers(ctx context.Context, project string) ([]Container, error) {
	listed, err := e.api.ContainerList(ctx, container.ListOptions{
		All: true, Filters: filters.NewArgs(filters.Arg("label", projectLabel+"="+project)),
	})
	if err != nil {
		return nil, fmt.Errorf("list containers of %s: %w", project, err)
	}
	var out []Container
	for _, l := range listed {
		c := Container{
			ID: l.ID, Project: project, Service: l.Labels[serviceLabel], Image: l.Image,
			State: l.State, Status: l.Status, Health: health(l.Status),
		}
		if len(l.Names) > 0 {
			c.Name = strings.TrimPrefix(l.Names[0], "/")
		}
		c.Number, _ = strconv.Atoi(l.Labels[numberLabel])
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Container) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

// judge runs the checks of those that the engine has not judged yet: its first verdict comes after an interval, and
// what has just been brought up well shall not look ill until then.
func (e *Engine) judge(ctx context.Context, found []Container) error {
	const atOnce = 8
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range found {
		c := &found[i]
		if c.State != container.StateRunning || c.Health != container.Starting {
			continue
		}
		group.Go(func() error {
			full, err := e.api.ContainerInspect(ctx, c.ID)
			if errdefs.IsNotFound(err) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("inspect %s: %w", c.Name, err)
			}
			own := docker.OwnCheck{API: e.api}
			if own.Unhealthy(ctx, full) == "" {
				c.Health = container.Healthy
			}
			return nil
		})
	}
	return group.Wait()
}

// health reads the verdict out of the engine's sentence: the list answers it nowhere else before API 1.52.
func health(status string) string {
	switch {
	case strings.HasSuffix(status, "(healthy)"):
		return "healthy"
	case strings.HasSuffix(status, "(unhealthy)"):
		return "unhealthy"
	case strings.HasSuffix(status, "(health: starting)"):
		return "starting"
	default:
		return ""
	}
}

// Of returns the containers of one service; the error lists the services there are.
func Of(all []Container, service string) ([]Container, error) {
	var found []Container
	var names []string
	for _, c := range all {
		if c.Service == service {
			found = append(found, c)
		}
		if !slices.Contains(names, c.Service) {
			names = append(names, c.Service)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case len(all) == 0:
		return nil, fmt.Errorf("nothing of the project runs: bring it up with `hive up`")
	default:
		return nil, fmt.Errorf("no container of a service %q; there are: %s", service, strings.Join(names, ", "))
	}
}
