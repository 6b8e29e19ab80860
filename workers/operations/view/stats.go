package view

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/docker/docker/api/types/container"
)

// Usage is what one running container takes at the moment.
type Usage struct {
	Container string `json:"container"`
	Service   string `json:"service"`
	// CPU in percent of one core, as `docker stats` counts: 200 is two cores full.
	CPU float64 `json:"cpu_percent"`
	// Memory without the page cache that the kernel can drop at will; Limit is 0 where there is none. Bytes.
	Memory   uint64 `json:"memory_bytes"`
	Limit    uint64 `json:"memory_limit_bytes"`
	Received uint64 `json:"network_received_bytes"`
	Sent     uint64 `json:"network_sent_bytes"`
	PIDs     uint64 `json:"pids"`
}

// Usages measures the running containers side by side: the engine takes two samples a second apart for each.
func (e *Engine) Usages(ctx context.Context, containers []Container) ([]Usage, error) {
	var running []Container
	for _, c := range containers {
		if c.State == "running" {
			running = append(running, c)
		}
	}
	out := make([]Usage, len(running))
	errs := make([]error, len(running))
	var group sync.WaitGroup
	for i, c := range running {
		group.Go(func() { out[i], errs[i] = e.usage(ctx, c) })
	}
	group.Wait()
	return out, errors.Join(errs...)
}

func (e *Engine) usage(ctx context.Context, c Container) (Usage, error) {
	response, err := e.api.ContainerStats(ctx, c.ID, false)
	if err != nil {
		return Usage{}, fmt.Errorf("stats of %s: %w", c.Name, err)
	}
	defer response.Body.Close()
	var s container.StatsResponse
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		return Usage{}, fmt.Errorf("stats of %s: %w", c.Name, err)
	}
	u := Usage{Container: c.Name, Service: c.Service, CPU: cpu(s), Memory: memory(s.MemoryStats), Limit: limit(s.MemoryStats), PIDs: s.PidsStats.Current}
	for _, n := range s.Networks {
		u.Received += n.RxBytes
		u.Sent += n.TxBytes
	}
	return u, nil
}

func cpu(s container.StatsResponse) float64 {
	used := float64(s.CPUStats.CPUUsage.TotalUsage) - float64(s.PreCPUStats.CPUUsage.TotalUsage)
	whole := float64(s.CPUStats.SystemUsage) - float64(s.PreCPUStats.SystemUsage)
	if used <= 0 || whole <= 0 {
		return 0
	}
	cores := float64(s.CPUStats.OnlineCPUs)
	if cores == 0 {
		cores = float64(len(s.CPUStats.CPUUsage.PercpuUsage))
	}
	return used / whole * cores * 100
}

// memory leaves out the inactive file cache, under the name that the kernel's cgroup version gives it.
func memory(m container.MemoryStats) uint64 {
	for _, name := range []string{"total_inactive_file", "inactive_file"} {
		if cache := m.Stats[name]; cache > 0 && cache < m.Usage {
			return m.Usage - cache
		}
	}
	return m.Usage
}

// limit turns the kernel's "no limit" (a huge number near 2^63 on cgroup v1) into 0.
func limit(m container.MemoryStats) uint64 {
	if m.Limit > 1<<60 {
		return 0
	}
	return m.Limit
}
