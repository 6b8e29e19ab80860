package integration

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/activities/docker"
)

const projectLabel = "com.docker.compose.project"

// stack is one Compose project with names and a subnet of its own, removed at the end.
type stack struct {
	t       *testing.T
	api     *client.Client
	hand    docker.Hand
	project string
	file    string
	image   string
	// imported are the IDs of the test's images.
	imported []string
}

func newStack(t *testing.T, fixtureName string) *stack {
	t.Helper()
	api, err := docker.Open()
	require.NoError(t, err)
	if _, err := api.Ping(t.Context()); err != nil {
		t.Skip("no container engine answers here: ", err)
	}
	file := fixture(t, fixtureName)
	id := fmt.Sprintf("%08x", rand.Uint32())
	s := &stack{t: t, api: api, project: "hiveit" + id, file: file, image: "hive-test/it" + id + ":1",
		hand: docker.Hand{API: api, ProjectDir: filepath.Dir(file), ComposeFiles: func() ([]string, error) { return []string{file}, nil }}}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	own := strings.NewReplacer("name: rich", "name: "+s.project, "hive-test/rich:1", s.image, "10.237.9.", fmt.Sprintf("10.237.%d.", rand.IntN(256)))
	require.NoError(t, os.WriteFile(file, []byte(own.Replace(string(text))), 0o600))
	t.Cleanup(s.tidy)
	s.importImage(s.image, "first")
	return s
}

func (s *stack) importImage(name, content string) string {
	s.t.Helper()
	binary, err := program()
	require.NoError(s.t, err)
	var body bytes.Buffer
	w := tar.NewWriter(&body)
	for name, text := range map[string][]byte{"app": binary, "content": []byte(s.image + content), "tmp/keep": nil} {
		require.NoError(s.t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}))
		_, err := w.Write(text)
		require.NoError(s.t, err)
	}
	require.NoError(s.t, w.Close())
	stream, err := s.api.ImageImport(s.t.Context(), image.ImportSource{Source: &body, SourceName: "-"}, name,
		image.ImportOptions{Changes: []string{`ENTRYPOINT ["/app"]`, `CMD ["serve"]`, "ENV PATH=/", "ENV FROM_IMAGE=yes"}})
	require.NoError(s.t, err)
	_, err = new(bytes.Buffer).ReadFrom(stream)
	require.NoError(s.t, err)
	require.NoError(s.t, stream.Close())
	i, err := s.api.ImageInspect(s.t.Context(), name)
	require.NoError(s.t, err)
	s.imported = append(s.imported, i.ID)
	return i.ID
}

func (s *stack) tidy() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.tidyContainers(ctx)
	images, err := s.api.ImageList(ctx, image.ListOptions{})
	require.NoError(s.t, err)
	for _, i := range images {
		for _, tag := range i.RepoTags {
			if strings.HasPrefix(tag, strings.TrimSuffix(s.image, "1")) {
				_, err := s.api.ImageRemove(ctx, tag, image.RemoveOptions{PruneChildren: true})
				require.NoError(s.t, err)
			}
		}
	}
	for _, id := range s.imported { // what lost its tag
		if _, err := s.api.ImageInspect(ctx, id); err == nil {
			_, err := s.api.ImageRemove(ctx, id, image.RemoveOptions{PruneChildren: true})
			require.NoError(s.t, err)
		}
	}
}

// tidyContainers removes the project's containers, networks and volumes.
func (s *stack) tidyContainers(ctx context.Context) {
	ours := filters.NewArgs(filters.Arg("label", projectLabel+"="+s.project))
	for _, c := range s.containers(ctx) {
		require.NoError(s.t, s.api.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	}
	networks, err := s.api.NetworkList(ctx, network.ListOptions{Filters: ours})
	require.NoError(s.t, err)
	for _, n := range networks {
		require.NoError(s.t, s.api.NetworkRemove(ctx, n.ID))
	}
	volumes, err := s.api.VolumeList(ctx, volume.ListOptions{Filters: ours})
	require.NoError(s.t, err)
	for _, v := range volumes.Volumes {
		require.NoError(s.t, s.api.VolumeRemove(ctx, v.Name, false))
	}
}

func (s *stack) containers(ctx context.Context) []container.Summary {
	found, err := s.api.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", projectLabel+"="+s.project))})
	require.NoError(s.t, err)
	return found
}

// create makes everything the file declares, by our hand.
func (s *stack) create(p *types.Project) {
	s.t.Helper()
	require.NoError(s.t, s.hand.Networks(s.t.Context(), p))
	require.NoError(s.t, s.hand.Volumes(s.t.Context(), p))
	for _, name := range p.ServiceNames() {
		svc := p.Services[name]
		for n := range svc.GetScale() {
			_, err := s.hand.Create(s.t.Context(), p, svc, docker.Options{Number: n + 1})
			require.NoError(s.t, err)
		}
	}
}

// census is everything of the project by identity: what was made anew, started
// again or removed shows.
func (s *stack) census() []string {
	s.t.Helper()
	ctx := s.t.Context()
	var out []string
	for _, c := range s.containers(ctx) {
		full, err := s.api.ContainerInspect(ctx, c.ID)
		require.NoError(s.t, err)
		out = append(out, fmt.Sprintf("%s %s %s since %s, pid %d", full.Name, full.ID, full.State.Status, full.State.StartedAt, full.State.Pid))
	}
	ours := filters.NewArgs(filters.Arg("label", projectLabel+"="+s.project))
	networks, err := s.api.NetworkList(ctx, network.ListOptions{Filters: ours})
	require.NoError(s.t, err)
	for _, n := range networks {
		out = append(out, n.Name+" "+n.ID)
	}
	volumes, err := s.api.VolumeList(ctx, volume.ListOptions{Filters: ours})
	require.NoError(s.t, err)
	for _, v := range volumes.Volumes {
		out = append(out, v.Name+" "+v.CreatedAt)
	}
	return out
}
