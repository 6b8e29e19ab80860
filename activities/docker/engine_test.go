package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// patience bounds what must come, of an engine that has others to serve as well.
const patience = time.Minute

// bench is one Compose project on the real engine, removed when the test ends.
type bench struct {
	t       *testing.T
	ctx     context.Context
	api     *client.Client
	hand    Hand
	project string
	// image runs testdata/app, and nobody else's image has its name.
	image string
	// subnet is the first three bytes of a /24 that this test may use.
	subnet string
}

// subnets counts the benches of this process from a number of its own: drawn at random, two
// that ran side by side sometimes had the same subnet, and the engine refused the second.
var subnets = func() *atomic.Uint32 {
	var first atomic.Uint32
	first.Store(rand.Uint32N(256))
	return &first
}()

func newBench(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	api, err := Open()
	require.NoError(t, err)
	if _, err := api.Ping(t.Context()); err != nil {
		t.Skip("no container engine answers here: ", err)
	}
	recorded, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation(), watched(t))
	require.NoError(t, err)
	id := fmt.Sprintf("%08x", rand.Uint32())
	b := &bench{
		t: t, ctx: t.Context(), api: api, project: "hivetest" + id, image: "hive-test/" + id + ":1",
		subnet: fmt.Sprintf("10.236.%d", subnets.Add(1)%256),
		hand:   Hand{API: recorded, ProjectDir: t.TempDir()},
	}
	b.hand.ComposeFiles = func() ([]string, error) {
		return []string{filepath.Join(b.hand.ProjectDir, "stack", "compose.yaml")}, nil
	}
	t.Cleanup(b.tidy)
	b.importImage(b.image)
	return b
}

// tidy removes what the test made, whatever state it is in.
func (b *bench) tidy() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ours := filters.NewArgs(filters.Arg("label", labelProject+"="+b.project))
	containers, err := b.api.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	require.NoError(b.t, err)
	for _, c := range containers {
		require.NoError(b.t, b.api.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	}
	networks, err := b.api.NetworkList(ctx, network.ListOptions{Filters: ours})
	require.NoError(b.t, err)
	for _, n := range networks {
		require.NoError(b.t, b.api.NetworkRemove(ctx, n.ID))
	}
	volumes, err := b.api.VolumeList(ctx, volumesOfProject(b.project))
	require.NoError(b.t, err)
	for _, v := range volumes.Volumes {
		require.NoError(b.t, b.api.VolumeRemove(ctx, v.Name, false))
	}
	images, err := b.api.ImageList(ctx, image.ListOptions{})
	require.NoError(b.t, err)
	repo := repository(b.image)
	for _, i := range images {
		for _, name := range namesOf(i) {
			if strings.Contains(name, repo) || strings.Contains(name, b.project) {
				_, err := b.api.ImageRemove(ctx, name, image.RemoveOptions{PruneChildren: true})
				if err != nil {
					b.t.Log(name, err)
				}
			}
		}
	}
}

// app is testdata/app, built once.
var app = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "hive-docker-app")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "app")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", out, "./testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return os.ReadFile(out)
})

// importImage imports a tiny image of its own: its content differs by its name.
func (b *bench) importImage(name string, changes ...string) string {
	b.t.Helper()
	binary, err := app()
	require.NoError(b.t, err)
	body := layer(b.t, map[string][]byte{"app": binary, "name": []byte(name), "run/keep": nil, "tmp/keep": nil})
	stream, err := b.api.ImageImport(b.ctx, image.ImportSource{Source: bytes.NewReader(body), SourceName: "-"}, name,
		image.ImportOptions{Changes: append([]string{`ENTRYPOINT ["/app"]`, `CMD ["serve"]`, "ENV PATH=/"}, changes...)})
	require.NoError(b.t, err)
	_, err = new(bytes.Buffer).ReadFrom(stream)
	require.NoError(b.t, err)
	require.NoError(b.t, stream.Close())
	return b.imageID(name)
}

func (b *bench) imageID(name string) string {
	b.t.Helper()
	i, err := b.api.ImageInspect(b.ctx, name)
	require.NoError(b.t, err)
	return i.ID
}

func layer(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, body := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(body))}))
		_, err := w.Write(body)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// compose loads a compose file as policy does; IMAGE, PROJECT and SUBNET stand for
// the bench's own.
func (b *bench) compose(text string) *types.Project {
	b.t.Helper()
	files, err := b.hand.ComposeFiles()
	require.NoError(b.t, err)
	file := files[0]
	require.NoError(b.t, os.MkdirAll(filepath.Dir(file), 0o755))
	text = strings.NewReplacer("IMAGE", b.image, "PROJECT", b.project, "SUBNET", b.subnet).Replace(text)
	require.NoError(b.t, os.WriteFile(file, []byte(text), 0o600))
	o, err := cli.NewProjectOptions([]string{file}, cli.WithWorkingDirectory(filepath.Dir(file)), cli.WithDiscardEnvFile)
	require.NoError(b.t, err)
	p, err := o.LoadProject(b.ctx)
	require.NoError(b.t, err)
	return p
}

func (b *bench) inspect(name string) container.InspectResponse {
	b.t.Helper()
	c, err := b.api.ContainerInspect(b.ctx, name)
	require.NoError(b.t, err)
	return c
}

func (b *bench) gone(name string) {
	b.t.Helper()
	_, err := b.api.ContainerInspect(b.ctx, name)
	require.ErrorContains(b.t, err, "No such container")
}

// eventually waits for a state of the container.
func (b *bench) eventually(name string, is func(container.InspectResponse) bool) container.InspectResponse {
	b.t.Helper()
	var c container.InspectResponse
	require.Eventually(b.t, func() bool { c = b.inspect(name); return is(c) }, patience, 20*time.Millisecond, "state of "+name)
	return c
}

func (b *bench) logs(id string) string {
	b.t.Helper()
	text, err := b.hand.tail(b.ctx, b.inspect(id))
	require.NoError(b.t, err)
	return text
}

// served waits until the program in the container listens to signals.
func (b *bench) served(id string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return strings.Contains(b.logs(id), "serving") }, patience, 20*time.Millisecond)
}

func requireKind(t *testing.T, kind runbook.Kind, err error, contains ...string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, runbook.KindOf(err), err.Error())
	for _, text := range contains {
		require.ErrorContains(t, err, text)
	}
}

// watched fails the test when the hand sends what it must never send.
func watched(t *testing.T) client.Opt {
	return func(c *client.Client) error {
		inner := c.HTTPClient().Transport
		return client.WithHTTPClient(&http.Client{Transport: watcher{t, inner}})(c)
	}
}

type watcher struct {
	t     *testing.T
	inner http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (w watcher) RoundTrip(r *http.Request) (*http.Response, error) {
	if why := forbidden(r); why != "" {
		w.t.Errorf("%s %s: %s", r.Method, r.URL, why)
	}
	return w.inner.RoundTrip(r)
}

// forbidden says why a request may never be sent, or "".
func forbidden(r *http.Request) string {
	switch {
	case strings.HasSuffix(r.URL.Path, "/prune"):
		return "nothing is pruned: before API 1.42 a volume prune deletes named volumes"
	case r.Method == http.MethodDelete && r.URL.Query().Get("force") == "1":
		return "nothing is removed by force: a running container would go with it"
	case r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/volumes/"), r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/networks/"):
		return "volumes and networks are never removed"
	case strings.HasSuffix(r.URL.Path, "/restart"):
		return "a replica is replaced and never restarted"
	default:
		return ""
	}
}

func volumesOfProject(project string) volume.ListOptions {
	return volume.ListOptions{Filters: filters.NewArgs(filters.Arg("label", labelProject+"="+project))}
}
