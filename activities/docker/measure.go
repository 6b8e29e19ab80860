package docker

import (
	"context"
	"encoding/json"
	"sort"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"golang.org/x/sync/errgroup"

	"github.com/leanvibe/hive/workflows/runbook"
)

// samplesAtOnce is many more than the other questions: the engine answers each
// only at its next look at all containers, once a second, and waiting costs nothing.
const samplesAtOnce = 512

// Measure answers runbook.MeasureContainers. The engine is asked for two of its
// looks at each container, a second apart: one alone has no earlier one that CPU
// use could be computed from.
func (h Hand) Measure(ctx context.Context, in runbook.StatsInput) (runbook.StatsOutput, error) {
	out := runbook.StatsOutput{Containers: []runbook.ContainerStats{}}
	running, err := h.list(ctx, in.Project, container.ListOptions{})
	if err != nil {
		return out, err
	}
	defer beating(ctx)()
	samples := make([]container.StatsResponse, len(running))
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(samplesAtOnce)
	for i, c := range running {
		group.Go(func() (err error) {
			samples[i], err = h.sample(asking, c.ID)
			return classify(err, "container "+c.ID)
		})
	}
	if err := group.Wait(); err != nil {
		return out, err
	}
	for i, c := range running {
		if samples[i].Read.IsZero() { // it ended meanwhile
			continue
		}
		out.Containers = append(out.Containers, runbook.ContainerStats{
			Name: c.Names[0][1:], Service: c.Labels[labelService], CPU: cpu(samples[i]),
			MemoryBytes: memory(samples[i].MemoryStats), MemoryLimit: int64(samples[i].MemoryStats.Limit),
		})
	}
	sort.Slice(out.Containers, func(i, j int) bool { return out.Containers[i].Name < out.Containers[j].Name })
	return out, nil
}

// sample is zero where the container is gone or has no process.
func (h Hand) sample(ctx context.Context, id string) (container.StatsResponse, error) {
	var out container.StatsResponse
	r, err := h.API.ContainerStats(ctx, id, false)
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	defer r.Body.Close()
	return out, json.NewDecoder(r.Body).Decode(&out)
}

// cpu is the share of one core between the two looks.
func cpu(s container.StatsResponse) float64 {
	wall := s.Read.Sub(s.PreRead)
	now, before := s.CPUStats.CPUUsage.TotalUsage, s.PreCPUStats.CPUUsage.TotalUsage
	if s.PreRead.IsZero() || wall <= 0 || now < before { // restarted in between
		return 0
	}
	return float64(now-before) / float64(wall)
}

// memory is what is used without the page cache that the kernel would give back;
// its name differs between cgroup versions.
func memory(m container.MemoryStats) int64 {
	for _, name := range []string{"total_inactive_file", "inactive_file"} {
		if cache, ok := m.Stats[name]; ok && cache <= m.Usage {
			return int64(m.Usage - cache)
		}
	}
	return int64(m.Usage)
}
