package view

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"
)

const composeFile = `
name: sample
services:
  app:
    image: ${APP_IMAGE:-example/app:1}
    deploy: {replicas: 2}
    healthcheck: {test: [CMD, /app, healthcheck]}
  store: {image: example/store:7}
  extra: {image: example/extra:1, profiles: [extra]}
`

func TestLoadResolvesAsComposeDoes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "compose.yml")
	require.NoError(t, os.WriteFile(file, []byte(composeFile), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".env"), []byte("APP_IMAGE=example/app:2\n"), 0o600))
	project, err := load(context.Background(), file)
	require.NoError(t, err)
	require.Equal(t, "sample", project.Name)
	require.Len(t, project.Services, 2, "services of a profile are not wanted unless it is")
	require.Equal(t, "example/app:2", project.Services["app"].Image, "the .env beside the file counts")
	app := project.Services["app"]
	require.Equal(t, 2, app.GetScale())
}

func TestLoadNamesTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "compose.yml")
	_, err := load(context.Background(), file)
	require.ErrorContains(t, err, file)
}

func TestCountingAService(t *testing.T) {
	for _, c := range []struct {
		name       string
		service    Service
		containers []Container
		good       bool
		images     []string
	}{
		{name: "all healthy", service: Service{Desired: 2, Image: "a", Healthy: new(int)},
			containers: []Container{{State: "running", Health: "healthy", Image: "a"}, {State: "running", Health: "healthy", Image: "a"}}, good: true},
		{name: "one still starting", service: Service{Desired: 2, Image: "a", Healthy: new(int)},
			containers: []Container{{State: "running", Health: "healthy", Image: "a"}, {State: "running", Health: "starting", Image: "a"}}},
		{name: "stopped ones do not count", service: Service{Desired: 1, Image: "a"},
			containers: []Container{{State: "exited", Image: "a"}}},
		{name: "no check: running is all that is known", service: Service{Desired: 1, Image: "a"},
			containers: []Container{{State: "running", Image: "a"}}, good: true},
		{name: "another image", service: Service{Desired: 1, Image: "a"},
			containers: []Container{{State: "running", Image: "b"}}, good: true, images: []string{"b"}},
		{name: "one too many", service: Service{Desired: 1, Image: "a"},
			containers: []Container{{State: "running", Image: "a"}, {State: "running", Image: "a"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, k := range c.containers {
				c.service.count(k)
			}
			require.Equal(t, c.good, c.service.Good())
			require.Equal(t, c.images, c.service.Images)
		})
	}
}

func TestHealthIsReadFromTheEnginesSentence(t *testing.T) {
	for status, want := range map[string]string{
		"Up 3 hours (healthy)": "healthy", "Up 2 seconds (health: starting)": "starting", "Up 1 minute (unhealthy)": "unhealthy",
		"Up 3 hours": "", "Exited (0) 2 hours ago": "",
	} {
		require.Equal(t, want, health(status), status)
	}
}

func TestOfNamesTheServicesThereAre(t *testing.T) {
	all := []Container{{Service: "nginx", Name: "a"}, {Service: "hub", Name: "b"}}
	found, err := Of(all, "hub")
	require.NoError(t, err)
	require.Equal(t, "b", found[0].Name)
	_, err = Of(all, "hubb")
	require.ErrorContains(t, err, "nginx, hub")
	_, err = Of(nil, "hub")
	require.ErrorContains(t, err, "hive up")
}

func TestUsageCountsAsDockerStatsDoes(t *testing.T) {
	var s container.StatsResponse
	s.CPUStats.CPUUsage.TotalUsage, s.PreCPUStats.CPUUsage.TotalUsage = 300, 200
	s.CPUStats.SystemUsage, s.PreCPUStats.SystemUsage = 2000, 1000
	s.CPUStats.OnlineCPUs = 2
	require.InDelta(t, 20.0, cpu(s), 0.001)
	s.PreCPUStats.SystemUsage = 2000
	require.Zero(t, cpu(s), "one sample is no rate")

	require.EqualValues(t, 70, memory(container.MemoryStats{Usage: 100, Stats: map[string]uint64{"total_inactive_file": 30, "inactive_file": 10}}))
	require.EqualValues(t, 90, memory(container.MemoryStats{Usage: 100, Stats: map[string]uint64{"inactive_file": 10}}))
	require.EqualValues(t, 100, memory(container.MemoryStats{Usage: 100}))
	require.Zero(t, limit(container.MemoryStats{Limit: 9223372036854771712}))
}

func TestLinesOfSeveralContainersStayWhole(t *testing.T) {
	var out bytes.Buffer
	w := &lockedWriter{out: &out}
	done := make(chan struct{})
	for range 4 {
		go func() {
			for range 100 {
				_, _ = w.Write([]byte("name | line\n"))
			}
			done <- struct{}{}
		}()
	}
	for range 4 {
		<-done
	}
	for line := range bytes.Lines(out.Bytes()) {
		require.Equal(t, "name | line\n", string(line))
	}
}
