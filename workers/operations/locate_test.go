package operations

import (
	"context"
	"crypto/rand"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/workflows/runbook"
)

func TestFreeOf(t *testing.T) {
	const headings = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n"
	free, err := freeOf(headings + "/dev/vda1        264225564 195909632  68299548      75% /data\n")
	require.NoError(t, err)
	require.Equal(t, int64(68299548)<<10, free)
	for _, out := range []string{"", headings, "df: /data: No such file or directory", headings + "/dev/vda1 1 2 many 75% /data"} {
		_, err := freeOf(out)
		require.Error(t, err, "%q", out)
	}
}

// TestLocatorOnARealEngine runs one container of a Redis image of ours, which has a
// shell's tools.
func TestLocatorOnARealEngine(t *testing.T) {
	api, err := docker.Open()
	require.NoError(t, err)
	t.Cleanup(func() { _ = api.Close() })
	if _, err := api.Ping(t.Context()); err != nil {
		t.Skip("no container engine answers here: ", err)
	}
	l := locator{api}
	project := "hivetest-" + rand.Text()[:8]
	_, err = l.address(t.Context(), project, "store")
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
	require.ErrorContains(t, err, "store")

	local, err := api.ImageList(t.Context(), image.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", "local/redis"))})
	require.NoError(t, err)
	if len(local) == 0 {
		t.Skip("no image local/redis here, which `hive up` builds")
	}
	id := start(t, api, local[0].ID, project)

	ip, err := l.address(t.Context(), project, "store")
	require.NoError(t, err)
	inspected, err := api.ContainerInspect(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, inspected.NetworkSettings.Networks["bridge"].IPAddress, ip)

	free, err := l.freeDisk(t.Context(), project, "store")
	require.NoError(t, err)
	// Volumes lie below the engine's root: no disk of this host is larger than all.
	info, err := api.Info(t.Context())
	require.NoError(t, err)
	var disk syscall.Statfs_t
	if syscall.Statfs(info.DockerRootDir, &disk) == nil {
		require.InEpsilon(t, float64(disk.Bavail)*float64(disk.Bsize), float64(free), .05)
	}

	_, err = l.exec(t.Context(), id, "df", "/nowhere")
	require.ErrorContains(t, err, "exit code 1")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = l.exec(ctx, id, "sleep", "300")
	require.Error(t, err)
	require.Less(t, time.Since(began), time.Minute, "an exec ends with its context")
}

func start(t *testing.T, api *client.Client, image, project string) string {
	t.Helper()
	made, err := api.ContainerCreate(t.Context(), &container.Config{
		Image: image, Entrypoint: []string{"sleep", "600"}, Volumes: map[string]struct{}{"/data": {}},
		Labels: map[string]string{projectLabel: project, serviceLabel: "store"},
	}, &container.HostConfig{}, nil, nil, project)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		require.NoError(t, api.ContainerKill(ctx, made.ID, "KILL"))
		ended, failed := api.ContainerWait(ctx, made.ID, container.WaitConditionNotRunning)
		select {
		case <-ended:
		case err := <-failed:
			require.NoError(t, err)
		}
		require.NoError(t, api.ContainerRemove(ctx, made.ID, container.RemoveOptions{RemoveVolumes: true}))
	})
	require.NoError(t, api.ContainerStart(t.Context(), made.ID, container.StartOptions{}))
	return made.ID
}
