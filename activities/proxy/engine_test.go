package proxy

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// withContainer runs the stack's own nginx image and nginx.conf on the real engine.
func withContainer(t *testing.T) (*stand, *client.Client, string) {
	t.Helper()
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	t.Cleanup(func() { _ = docker.Close() })
	if _, err := docker.Ping(t.Context()); err != nil {
		t.Skip("no docker engine answers: ", err)
	}
	images, err := docker.ImageList(t.Context(), image.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", "local/nginx:*"))})
	require.NoError(t, err)
	if len(images) == 0 {
		t.Skip("no image local/nginx here: hive up builds it")
	}
	s := newStand(t, true, "/var/log/hive")
	s.hand.API, s.in.Project = docker, "hive-test-"+uuid.NewString()[:8]
	_, err = s.hand.locate(t.Context(), s.in)
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
	s.seed(s.replicas[0])
	dir := s.hand.ProjectDir
	made, err := docker.ContainerCreate(t.Context(), &container.Config{
		Image: images[0].ID, Entrypoint: []string{"nginx", "-g", "daemon off;"}, StopSignal: "SIGQUIT",
		Labels: map[string]string{labelProject: s.in.Project, labelService: s.in.Proxy.Service},
	}, &container.HostConfig{NetworkMode: "host", Binds: []string{
		filepath.Join(dir, "nginx.conf") + ":/etc/nginx/nginx.conf:ro", filepath.Join(dir, "hive.d") + ":/etc/nginx/hive.d:ro",
		filepath.Join(dir, "logs", "nginx") + ":/var/log/hive",
	}}, nil, nil, s.in.Project)
	require.NoError(t, err)
	after := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		require.NoError(t, docker.ContainerRemove(after, made.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	})
	_, err = s.hand.locate(t.Context(), s.in)
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
	require.NoError(t, docker.ContainerStart(t.Context(), made.ID, container.StartOptions{}))
	require.Eventually(t, func() bool { _, err := s.hand.served(t.Context(), s.in.Proxy); return err == nil }, patience, 50*time.Millisecond)
	return s, docker, made.ID
}

func TestOnTheEngine(t *testing.T) {
	s, _, id := withContainer(t)
	a, b := s.replicas[0], s.replicas[1]
	seen, err := s.hand.Observe(t.Context(), s.in)
	require.NoError(t, err)
	require.True(t, seen.KeepaliveMin)
	require.Zero(t, seen.OldWorkers)
	require.Equal(t, map[string][]string{upstream: {a}, other: {}}, seen.Upstreams)

	// a client that stays: after the reload its worker lives on
	leave := s.longRequest()
	started := time.Now()
	got, err := s.set("run/1", b)
	require.NoError(t, err)
	require.True(t, got.Changed)
	require.Equal(t, map[string]int{b: 6}, s.answers("/v1/tasks", 6))
	old := func(want int) func() bool { // those that carry nothing go, each at its own pace
		return func() bool {
			n, err := s.hand.oldWorkers(t.Context(), id)
			return err == nil && n == want
		}
	}
	require.Eventually(t, old(1), patience, 50*time.Millisecond)
	seen, err = s.hand.Observe(t.Context(), s.in)
	require.NoError(t, err)
	require.Equal(t, 1, seen.OldWorkers)
	leave()
	require.Eventually(t, old(0), patience, 50*time.Millisecond)

	// the log is written by workers of another user than root
	traffic, err := s.hand.AwaitTraffic(t.Context(), runbook.WatchTrafficInput{
		ProxyInput: s.in, Upstream: upstream, Address: b, Since: started, Requests: 6, Deadline: runbook.Duration(patience),
	})
	require.NoError(t, err)
	require.True(t, traffic.Met)

	before := s.files()
	words, code, err := s.hand.exec(t.Context(), id, "nginx", "-t", "-c", "/nowhere")
	require.NoError(t, err)
	require.Equal(t, 1, code)
	require.Contains(t, words, `open() "/nowhere" failed`)
	words, code, err = s.hand.exec(t.Context(), id, "no-such-command")
	require.NoError(t, err)
	require.Equal(t, 127, code, words)
	require.Equal(t, before, s.files())

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, _, err := s.hand.exec(ctx, id, "cat", "/dev/zero")
		ended <- err
	}()
	cancel()
	select {
	case err := <-ended:
		require.ErrorIs(t, err, context.Canceled)
	case <-time.After(patience):
		require.Fail(t, "a cancelled command is not left")
	}
}

// longRequest begins a request that a replica holds, and returns what ends it.
func (s *stand) longRequest() (leave func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.in.Proxy.URL+"/hive.v1.AssignmentService/Work", http.NoBody)
	require.NoError(s.t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { cancel(); _ = res.Body.Close() })
	require.True(s.t, strings.HasPrefix(res.Header.Get("X-Hive-Upstream"), "127.0.0.1:"))
	return cancel
}
