package docker

import (
	"context"
	"sort"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"golang.org/x/sync/errgroup"

	"github.com/leanvibe/hive/workflows/runbook"
)

// TakeCensus answers runbook.TakeCensus. One-off containers (`docker compose run`,
// hooks) are somebody's session and no replica, so they are not counted. Where the
// engine has stopped checking a container, its own check is run here.
func (h Hand) TakeCensus(ctx context.Context, in runbook.CensusInput) (runbook.Census, error) {
	var out runbook.Census
	all, err := h.inspectAll(ctx, in.Project, container.ListOptions{All: true})
	if err != nil {
		return out, err
	}
	out.Containers = make([]runbook.Container, len(all))
	var asking errgroup.Group
	asking.SetLimit(atOnce)
	for i, c := range all {
		out.Containers[i] = counted(c)
		if out.Containers[i].Health == runbook.HealthSilent {
			asking.Go(func() error {
				h.ask(ctx, c, &out.Containers[i])
				return nil
			})
		}
	}
	_ = asking.Wait() // ask answers no error: what cannot be asked stays silent
	sort.Slice(out.Containers, func(i, j int) bool {
		a, b := out.Containers[i], out.Containers[j]
		if a.Service != b.Service {
			return a.Service < b.Service
		}
		if a.Number != b.Number {
			return a.Number < b.Number
		}
		return a.Name < b.Name
	})
	return out, nil
}

// list lists the project's service containers.
func (h Hand) list(ctx context.Context, project string, o container.ListOptions) ([]container.Summary, error) {
	if project == "" {
		return nil, runbook.Fail(runbook.Refused, "no Compose project is named: give for example leanvibe")
	}
	o.Filters = filters.NewArgs(filters.Arg("label", labelProject+"="+project))
	found, err := h.API.ContainerList(ctx, o)
	if err != nil {
		return nil, classify(err, "project "+project)
	}
	out := found[:0]
	for _, c := range found {
		if c.Labels[labelService] != "" && c.Labels[labelOneoff] != "True" && c.Labels[labelHook] == "" {
			out = append(out, c)
		}
	}
	return out, nil
}

// inspectAll inspects what list lists, several at once; one that goes meanwhile is
// left out.
func (h Hand) inspectAll(ctx context.Context, project string, o container.ListOptions) ([]container.InspectResponse, error) {
	listed, err := h.list(ctx, project, o)
	if err != nil {
		return nil, err
	}
	found := make([]*container.InspectResponse, len(listed))
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, c := range listed {
		group.Go(func() error {
			full, err := h.API.ContainerInspect(asking, c.ID)
			switch {
			case errdefs.IsNotFound(err):
				return nil
			case err != nil:
				return classify(err, "container "+c.ID)
			}
			found[i] = &full
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out := make([]container.InspectResponse, 0, len(found))
	for _, c := range found {
		if c != nil {
			out = append(out, *c)
		}
	}
	return out, nil
}

// counted takes over names, states and hashes, one by one: the environment and
// foreign labels stay with the engine.
func counted(c container.InspectResponse) runbook.Container {
	labels := c.Config.Labels
	out := runbook.Container{
		ID: c.ID, Name: nameOf(c), Service: labels[labelService], Number: numberOf(&c), Image: referenceOf(c), ImageID: c.Image,
		State: c.State.Status, Restarts: c.RestartCount, OOMKilled: c.State.OOMKilled, ExitCode: c.State.ExitCode,
		Started: at(c.State.StartedAt), ConfigHash: labels[labelHash], Run: labels[labelRun],
		Address: addressOf(c.HostConfig.NetworkMode, c.NetworkSettings.Networks), LogLimited: logLimited(c.HostConfig.LogConfig),
	}
	health, silent := verdictOf(c.State, c.Config.Healthcheck, time.Now())
	out.Health, out.HealthSilent = health, runbook.Duration(silent.Truncate(time.Second))
	return out
}

// ask runs the check that the engine no longer runs: who passes it is healthy now,
// and HealthSilent still tells that the engine does not look.
func (h Hand) ask(ctx context.Context, c container.InspectResponse, out *runbook.Container) {
	own := OwnCheck{API: h.API}
	if own.Unhealthy(ctx, c) == "" {
		out.Health = container.Healthy
	}
}

// numberOf is the replica's number, 0 where a foreign container has none.
func numberOf(c *container.InspectResponse) int {
	n, err := strconv.Atoi(c.Config.Labels[labelNumber])
	if err != nil {
		return 0
	}
	return n
}

func referenceOf(c container.InspectResponse) string {
	if ref := c.Config.Labels[labelReference]; ref != "" {
		return ref
	}
	return c.Config.Image
}

// at reads the engine's time; its zero stays zero.
func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// logLimited says whether the engine bounds the log by itself: json-file does only
// when told, "local" always, the others keep none here.
func logLimited(c container.LogConfig) bool {
	if c.Type == "json-file" {
		return c.Config["max-size"] != "" && c.Config["max-size"] != "-1"
	}
	return true
}
