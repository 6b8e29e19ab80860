package docker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// registry is the reading half of an OCI registry: what a pull asks for.
type registry struct {
	t    *testing.T
	host string
	mu   sync.Mutex
	tags map[string]string
	blob map[string][]byte
	// broken cuts every layer off in the middle.
	broken bool
}

func newRegistry(t *testing.T) *registry {
	r := &registry{t: t, tags: map[string]string{}, blob: map[string][]byte{}}
	server := httptest.NewServer(r) // on 127.0.0.1, where the engine takes plain HTTP
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

const (
	manifestType = "application/vnd.docker.distribution.manifest.v2+json"
	configType   = "application/vnd.docker.container.image.v1+json"
	layerType    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// publish puts an image of one layer under a tag and answers its digest.
func (r *registry) publish(repo, tag, content string) string {
	r.t.Helper()
	body := layer(r.t, map[string][]byte{"content": []byte(content)})
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, err := w.Write(body)
	require.NoError(r.t, err)
	require.NoError(r.t, w.Close())
	diff := sha256.Sum256(body)
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z",
		"config": map[string]any{"Cmd": []string{"/content"}}, "rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(diff[:])}},
		"history": []map[string]any{{"created": "2020-01-01T00:00:00Z"}},
	})
	require.NoError(r.t, err)
	describe := func(kind string, b []byte) map[string]any {
		return map[string]any{"mediaType": kind, "size": len(b), "digest": r.put(b)}
	}
	manifest, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType,
		"config": describe(configType, config), "layers": []any{describe(layerType, zipped.Bytes())}})
	require.NoError(r.t, err)
	digest := r.put(manifest)
	r.mu.Lock()
	r.tags[repo+":"+tag] = digest
	r.mu.Unlock()
	return digest
}

func (r *registry) put(b []byte) string {
	sum := sha256.Sum256(b)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	r.mu.Lock()
	r.blob[digest] = b
	r.mu.Unlock()
	return digest
}

// ServeHTTP implements http.Handler.
func (r *registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	path := strings.TrimPrefix(q.URL.Path, "/v2/")
	repo, name, manifest := strings.Cut(path, "/manifests/")
	if !manifest {
		_, name, _ = strings.Cut(path, "/blobs/")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if digest, tagged := r.tags[repo+":"+name]; tagged {
		name = digest
	}
	body, ok := r.blob[name]
	switch {
	case path == "":
		return
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)
		return
	case manifest:
		w.Header().Set("Content-Type", manifestType)
	case r.broken:
		body = append([]byte("not what its digest says"), body...)
	}
	w.Header().Set("Docker-Content-Digest", name)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	if q.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

func TestPullByDigest(t *testing.T) {
	b, r := newBench(t), newRegistry(t)
	repo := b.project + "/app"
	ref := r.host + "/" + repo + ":2.0"
	first := r.publish(repo, "2.0", "first "+b.project)

	seen, err := b.hand.ResolveImage(b.ctx, runbook.ResolveImageInput{Image: ref})
	require.NoError(t, err)
	require.Equal(t, runbook.ResolvedImage{Image: ref, Digest: first, Source: "registry"}, seen)
	_, err = b.api.ImageInspect(b.ctx, ref)
	require.Error(t, err, "resolving pulls nothing")

	pulled, err := b.hand.PullImage(b.ctx, runbook.PullImageInput{Image: ref, Digest: first})
	require.NoError(t, err)
	require.True(t, pulled.Changed)
	_, err = b.api.ImageInspect(b.ctx, ref)
	require.Error(t, err, "the tag does not move")
	again, err := b.hand.PullImage(b.ctx, runbook.PullImageInput{Image: ref, Digest: first})
	require.NoError(t, err)
	require.Equal(t, runbook.PulledImage{ImageID: pulled.ImageID}, again)

	changed, err := b.hand.TagImage(b.ctx, runbook.TagImageInput{ImageID: pulled.ImageID, Tag: ref})
	require.NoError(t, err)
	require.True(t, changed.Changed)
	changed, err = b.hand.TagImage(b.ctx, runbook.TagImageInput{ImageID: pulled.ImageID, Tag: ref})
	require.NoError(t, err)
	require.False(t, changed.Changed, "tagged already")

	second := r.publish(repo, "2.0", "second "+b.project)
	seen, err = b.hand.ResolveImage(b.ctx, runbook.ResolveImageInput{Image: ref})
	require.NoError(t, err)
	require.Equal(t, runbook.ResolvedImage{Image: ref, Digest: second, LocalID: pulled.ImageID, LocalDigest: first, Source: "registry"}, seen)

	newer, err := b.hand.PullImage(b.ctx, runbook.PullImageInput{Image: ref, Digest: second})
	require.NoError(t, err)
	require.NotEqual(t, pulled.ImageID, newer.ImageID)
	require.Equal(t, pulled.ImageID, b.imageID(ref), "the tag still names the old image")
	image, err := b.hand.choose(b.ctx, Options{ImageID: newer.ImageID, Image: ref})
	require.NoError(t, err)
	require.Equal(t, r.host+"/"+repo+"@"+second, image.Name, "docker ps shows what it is")
}

func TestPullThatFails(t *testing.T) {
	b, r := newBench(t), newRegistry(t)
	repo := b.project + "/app"
	ref := r.host + "/" + repo + ":1"
	digest := r.publish(repo, "1", b.project)
	none := "sha256:" + strings.Repeat("0", 64)

	_, err := b.hand.PullImage(b.ctx, runbook.PullImageInput{Image: ref, Digest: none})
	requireKind(t, runbook.Missing, err, "the registry has no")
	_, err = b.hand.PullImage(b.ctx, runbook.PullImageInput{Image: ref, Digest: "latest"})
	requireKind(t, runbook.Refused, err, "no digest")
	_, err = b.hand.PullImage(b.ctx, runbook.PullImageInput{Image: "A B", Digest: digest})
	requireKind(t, runbook.Refused, err, "no image reference")

	r.broken = true // the error comes inside the stream, after it began well
	_, err = b.hand.PullImage(b.ctx, runbook.PullImageInput{Image: ref, Digest: digest})
	requireKind(t, runbook.Unreachable, err)
	_, err = b.api.ImageInspect(b.ctx, r.host+"/"+repo+"@"+digest)
	require.Error(t, err)
	r.broken = false
	_, err = b.hand.PullImage(b.ctx, runbook.PullImageInput{Image: ref, Digest: digest})
	require.NoError(t, err, "and the next try succeeds")
}

func TestResolveWithoutARegistry(t *testing.T) {
	b, r := newBench(t), newRegistry(t)
	away := "127.0.0.1:1/" + b.project + ":1"
	seen, err := b.hand.ResolveImage(b.ctx, runbook.ResolveImageInput{Image: away})
	require.NoError(t, err)
	require.Equal(t, "unreachable", seen.Source)
	require.Contains(t, seen.Why, "connection refused")

	id := b.imageID(b.image)
	require.NoError(t, b.api.ImageTag(b.ctx, id, away))
	seen, err = b.hand.ResolveImage(b.ctx, runbook.ResolveImageInput{Image: away})
	require.NoError(t, err)
	require.Equal(t, []string{"local", id, ""}, []string{seen.Source, seen.LocalID, seen.LocalDigest}, "built here")
	seen, err = b.hand.ResolveImage(b.ctx, runbook.ResolveImageInput{Image: away, Local: true})
	require.NoError(t, err)
	require.Equal(t, runbook.ResolvedImage{Image: away, LocalID: id, Source: "local", Why: "only the engine was asked"}, seen)

	repo := b.project + "/app" // pulled once, and then its registry is gone
	ref := r.host + "/" + repo + ":1"
	digest := r.publish(repo, "1", b.project)
	pulled, err := b.hand.PullImage(b.ctx, runbook.PullImageInput{Image: ref, Digest: digest})
	require.NoError(t, err)
	_, err = b.hand.TagImage(b.ctx, runbook.TagImageInput{ImageID: pulled.ImageID, Tag: ref})
	require.NoError(t, err)
	r.mu.Lock()
	r.tags, r.blob = map[string]string{}, map[string][]byte{}
	r.mu.Unlock()
	seen, err = b.hand.ResolveImage(b.ctx, runbook.ResolveImageInput{Image: ref})
	require.NoError(t, err)
	require.Equal(t, []string{"unreachable", pulled.ImageID, digest}, []string{seen.Source, seen.LocalID, seen.LocalDigest})
	require.NotEmpty(t, seen.Why)

	_, err = b.hand.ResolveImage(b.ctx, runbook.ResolveImageInput{Image: "UPPER"})
	requireKind(t, runbook.Refused, err)
	_, err = b.hand.TagImage(b.ctx, runbook.TagImageInput{ImageID: "sha256:" + strings.Repeat("1", 64), Tag: away})
	requireKind(t, runbook.Missing, err, "not here any more")
	_, err = b.hand.TagImage(b.ctx, runbook.TagImageInput{ImageID: id, Tag: "a@" + digest})
	requireKind(t, runbook.Refused, err, "only tags move")
}
