package bootstrap

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/stretchr/testify/require"
)

func TestPackageVersion(t *testing.T) {
	for _, c := range []struct{ line, name, want string }{
		{"nginx version: nginx/1.30.6", "nginx", ": nginx 1.30.6"},
		{"Setting up redis-server (5:7.0.15-1~deb12u10) ...", "redis", ": redis-server 5:7.0.15-1~deb12u10"},
		{"Setting up prometheus-redis-exporter (1.45.0-2+b4) ...", "redis-exporter", ": prometheus-redis-exporter 1.45.0-2+b4"},
		{"Setting up postgresql-client-common (248) ...", "postgres", ""},
		{"Unpacking redis-server (5:7) ...", "redis", ""},
	} {
		got, ok := packageVersion(c.line, c.name)
		require.Equal(t, c.want, got)
		require.Equal(t, c.want != "", ok)
	}
}

func TestDigestCoversNamesBytesModesAndBase(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "entrypoint.sh")
	require.NoError(t, os.WriteFile(path, []byte("echo"), 0o644))
	of := func(base string) string {
		files, err := folder(dir)
		require.NoError(t, err)
		sum, err := digest(files, base)
		require.NoError(t, err)
		return sum
	}
	first := of("base")
	require.Equal(t, first, of("base"))
	require.NotEqual(t, first, of("another base"))
	require.NoError(t, os.Chmod(path, 0o640))
	require.Equal(t, first, of("base"), "a checkout's umask is no change")
	require.NoError(t, os.Chmod(path, 0o755))
	require.NotEqual(t, first, of("base"))
	require.NoError(t, os.Chmod(path, 0o644))
	require.NoError(t, os.WriteFile(path, []byte("echo 1"), 0o644))
	require.NotEqual(t, first, of("base"))
}

func TestPackHasNoTimes(t *testing.T) {
	packed := pack([]content{{name: "Dockerfile", text: "FROM scratch\n"}})
	archive := tar.NewReader(packed)
	h, err := archive.Next()
	require.NoError(t, err)
	require.Equal(t, "Dockerfile", h.Name)
	require.EqualValues(t, 0, h.ModTime.Unix())
	body, err := io.ReadAll(archive)
	require.NoError(t, err)
	require.Equal(t, "FROM scratch\n", string(body))

	_, err = io.ReadAll(pack([]content{{name: "gone", path: filepath.Join(t.TempDir(), "gone")}}))
	require.ErrorIs(t, err, os.ErrNotExist, "a file that is missing breaks the stream off")
}

func TestStreamFindsTheErrorInside(t *testing.T) {
	err := stream(strings.NewReader(`{"stream":"Step 1"}{"error":"no space left on device\n"}`), func(message) {})
	require.EqualError(t, err, "no space left on device")
	require.Error(t, stream(strings.NewReader(`{"stream":"Ste`), func(message) {}), "a stream that is cut off is no success")
	require.ErrorIs(t, stream(io.MultiReader(strings.NewReader(`{}`), broken{}), func(message) {}), errBroken)
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

func TestMadeHereKnowsOnlyOurOwnNames(t *testing.T) {
	for _, c := range []struct {
		name  string
		image image.Summary
		want  []string
	}{
		{"a recipe", image.Summary{RepoTags: []string{"local/redis:1", "redis:7"}}, []string{"local/redis:1"}},
		{"somebody's own", image.Summary{RepoTags: []string{"local/mine:1", "postgres:15-alpine", "hived:1"}}, nil},
		{"an application, pulled by digest", image.Summary{ID: "sha256:1", RepoDigests: []string{"127.0.0.1:5000/leanvibe/hub@sha256:2"}}, []string{"127.0.0.1:5000/leanvibe/hub@sha256:2"}},
		{"as engines before 25 list it", image.Summary{ID: "sha256:1", RepoTags: []string{"<none>:<none>"}, RepoDigests: []string{"127.0.0.1:5000/leanvibe/hub@sha256:2"}}, []string{"127.0.0.1:5000/leanvibe/hub@sha256:2"}},
		{"without any name, and ours", image.Summary{ID: "sha256:1", RepoTags: []string{"<none>:<none>"}, RepoDigests: []string{"<none>@<none>"}, Labels: map[string]string{inputsLabel: "x"}}, []string{"sha256:1"}},
		{"untagged and ours", image.Summary{ID: "sha256:1", Labels: map[string]string{inputsLabel: "x"}}, []string{"sha256:1"}},
		{"ours under a name of somebody's", image.Summary{ID: "sha256:1", RepoTags: []string{"mine:1"}, Labels: map[string]string{inputsLabel: "x"}}, nil},
		{"a rollback tag, and what a registry knows it by", image.Summary{RepoTags: []string{"hive-rollback/hub:3"}, RepoDigests: []string{"127.0.0.1:5000/leanvibe/hub@sha256:3"}},
			[]string{"hive-rollback/hub:3", "127.0.0.1:5000/leanvibe/hub@sha256:3"}},
		{"a rollback tag of another project", image.Summary{RepoTags: []string{"hive-rollback/hubble:3", "hive-rollback/shop:1"}}, nil},
		{"dangling", image.Summary{ID: "sha256:1"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, madeHere(c.image, []string{"hub"})) })
	}
}

func TestRepository(t *testing.T) {
	name, tag := repository(applications[0].image)
	require.Equal(t, "leanvibe/universal-orchestrator", name)
	require.Equal(t, "2.0", tag)
	for _, p := range applications {
		require.True(t, p.pushed())
	}
	require.False(t, opsworker.pushed())
}

func TestInputsFollowTheSourcesAndNotTheVersion(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	write("go.mod", "module example.test/m\n\ngo 1.26\n")
	write("cmd/x/main.go", "package main\n\nimport \"example.test/m/dep\"\n\nvar version = \"dev\"\n\nfunc main() { println(version, dep.Answer()) }\n")
	write("dep/dep.go", "package dep\n\n//go:noinline\nfunc Answer() int { return 41 }\n")
	write("image/Dockerfile", "FROM scratch\n")
	p := program{name: "x", module: ".", pkg: "./cmd/x", dockerfile: "image", binary: "x"}
	b := &builder{dir: dir, progress: NewProgress(io.Discard)}
	of := func(base string) string {
		sum, err := b.inputs(t.Context(), p, made{id: base}, b.progress.begin("x"))
		require.NoError(t, err)
		return sum
	}
	first := of("base")
	require.Equal(t, first, of("base"))
	require.NotEqual(t, first, of("another base"))
	write("dep/dep.go", "package dep\n\n//go:noinline\nfunc Answer() int { return 42 }\n")
	require.NotEqual(t, first, of("base"))
	write("dep/dep.go", "package dep\n\nfunc Answer() int { return }\n")
	_, err := b.inputs(t.Context(), p, made{}, b.progress.begin("x"))
	require.ErrorContains(t, err, "dep.go:3", "the compiler's own words")
}
