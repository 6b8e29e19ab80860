package bench

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	dockerclient "github.com/docker/docker/client"
)

// The versions of a service's image.
const (
	// Good is what runs at the start of every run, Newer what the registry may have, Bad a newer one that fails.
	Good  = "good"
	Newer = "newer"
	Bad   = "bad"
	// older and oldest lie here unused at the start, for LogManagement to find.
	older  = "older"
	oldest = "oldest"
)

const (
	manifestType = "application/vnd.docker.distribution.manifest.v2+json"
	configType   = "application/vnd.docker.container.image.v1+json"
	layerType    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// registry is a registry of a few images that it makes itself: one layer with the app, a configuration a version. The
// engine pulls from it as from any other; a newer image is a tag that names another manifest.
type registry struct {
	mu    sync.Mutex
	blobs map[string][]byte
	types map[string]string
	// tags are digests by "repository:tag"; versions by "repository@version".
	tags     map[string]string
	versions map[string]string
	// ids are what the engine calls an image, by "repository@version".
	ids map[string]string
}

func (r *registry) blob(kind string, body []byte) string {
	sum := sha256.Sum256(body)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	r.blobs[digest], r.types[digest] = body, kind
	return digest
}

// add makes a version of an image.
func (r *registry) add(repository, version, layer, diff, bench string, size int) error {
	env := []string{"PATH=/", "VERSION=" + version}
	if version == Bad {
		env = append(env, "BROKEN=1")
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": "2026-11-01T00:00:00Z",
		"config":  map[string]any{"Entrypoint": []string{"/app"}, "Env": env, "Labels": map[string]string{"hivechaos.bench": bench, "hivechaos.version": version, "hivechaos.repository": repository}},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{diff}},
		"history": []map[string]any{{"created": "2026-11-01T00:00:00Z", "created_by": "chaos kit"}},
	})
	if err != nil {
		return err
	}
	digest := r.blob(configType, config)
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": map[string]any{"mediaType": configType, "size": len(config), "digest": digest},
		"layers": []map[string]any{{"mediaType": layerType, "size": size, "digest": layer}},
	})
	if err != nil {
		return err
	}
	r.versions[repository+"@"+version] = r.blob(manifestType, manifest)
	r.ids[repository+"@"+version] = digest
	return nil
}

// point moves the registry's tag.
func (r *registry) point(repository, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tags[repository+":1"] = r.versions[repository+"@"+version]
}

// version names an image by the engine's ID of it.
func (r *registry) version(id string) string {
	for name, known := range r.ids {
		if known == id {
			return name
		}
	}
	return ""
}

// ServeHTTP is the part of the registry protocol that a pull needs.
func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	name, what, found := strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/"), "/manifests/")
	if !found {
		name, what, found = strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/"), "/blobs/")
	}
	if !found {
		return // "/v2/": yes, this is one
	}
	r.mu.Lock()
	if digest, tagged := r.tags[name+":"+what]; tagged {
		what = digest
	}
	body, known := r.blobs[what]
	kind := r.types[what]
	r.mu.Unlock()
	if !known {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Docker-Content-Digest", what)
	if req.Method != http.MethodHead {
		_, _ = w.Write(body) // an engine that went away asks again
	}
}

func web() string { return "hivechaos/web" }
func job() string { return "hivechaos/job" }

// serveImages makes the images, serves them, and pulls those that the stack starts with.
func (b *Bench) serveImages(ctx context.Context) error {
	binary, err := os.ReadFile(filepath.Join(b.config.Dir, "bin", "app"))
	if err != nil {
		return err
	}
	layer, diff, err := layerOf(binary)
	if err != nil {
		return err
	}
	r := &registry{blobs: map[string][]byte{}, types: map[string]string{}, tags: map[string]string{}, versions: map[string]string{}, ids: map[string]string{}}
	digest := r.blob(layerType, layer)
	for _, repository := range []string{web(), job()} {
		for _, version := range []string{Good, Newer, Bad, older, oldest} {
			if err := r.add(repository, version, digest, diff, b.config.project(), len(layer)); err != nil {
				return err
			}
		}
	}
	b.images = r
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", b.config.registry())
	if err != nil {
		return err
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }() // ends with Close alone
	return b.resetImages(ctx)
}

// layerOf is the layer with the app: gzipped, and the digest of its content.
func layerOf(binary []byte) (layer []byte, diff string, err error) {
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	err = errors.Join(
		w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(binary))}), second(w.Write(binary)),
		w.WriteHeader(&tar.Header{Name: "var/log/hive/", Mode: 0o777, Typeflag: tar.TypeDir}), w.Close())
	sum := sha256.Sum256(plain.Bytes())
	z := gzip.NewWriter(&packed)
	err = errors.Join(err, second(z.Write(plain.Bytes())), z.Close())
	return packed.Bytes(), "sha256:" + hex.EncodeToString(sum[:]), err
}

func second(_ int, err error) error { return err }

// pull fetches an image, by tag or digest.
func (b *Bench) pull(ctx context.Context, ref string) error {
	stream, err := b.api.ImagePull(ctx, ref, image.PullOptions{})
	if err != nil {
		return err
	}
	defer stream.Close()
	d := json.NewDecoder(stream)
	for {
		var m struct{ Error string }
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
	}
}

func (b *Bench) ref(repository string) string { return b.config.registry() + "/" + repository + ":1" }

// rollback is the product's tag for an image that a service ran before.
func (b *Bench) rollback(repository, tag string) string {
	service := b.config.web()
	if repository == job() {
		service = b.config.job()
	}
	return "hive-rollback/" + service + ":" + tag
}

// resetImages gives the engine the images of a start: the good ones under their tags, two old ones that nobody needs.
func (b *Bench) resetImages(ctx context.Context) error {
	if err := b.untag(ctx, false); err != nil {
		return err
	}
	for _, repository := range []string{web(), job()} {
		b.images.point(repository, Good)
		if err := b.pull(ctx, b.ref(repository)); err != nil {
			return err
		}
	}
	for _, version := range []string{oldest, older} {
		if err := b.pull(ctx, b.config.registry()+"/"+web()+"@"+b.images.versions[web()+"@"+version]); err != nil {
			return err
		}
		if err := b.api.ImageTag(ctx, b.images.ids[web()+"@"+version], b.rollback(web(), version)); err != nil {
			return err
		}
	}
	return nil
}

// untag takes away every name that this bench's images have, but the two that the stack starts with unless all is said;
// the engine deletes an image with its last name.
func (b *Bench) untag(ctx context.Context, all bool) error {
	list, err := b.api.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("label", "hivechaos.bench="+b.config.project()))})
	if err != nil {
		return err
	}
	for _, i := range list {
		good := b.images != nil && slices.Contains([]string{b.images.ids[web()+"@"+Good], b.images.ids[job()+"@"+Good]}, i.ID)
		for _, tag := range slices.Concat(i.RepoTags, i.RepoDigests) {
			if strings.Contains(tag, "<none>") || good && !all && !strings.HasPrefix(tag, "hive-rollback/") {
				continue
			}
			if _, err := b.api.ImageRemove(ctx, tag, image.RemoveOptions{PruneChildren: true}); gone(err) != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Bench) removeImages(ctx context.Context) error { return b.untag(ctx, true) }

// newest is the newest tag of a repository on the engine, "" for none.
func newest(ctx context.Context, api *dockerclient.Client, repository string) string {
	list, err := api.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", repository+":*"))})
	if err != nil {
		return ""
	}
	best, at := "", int64(0)
	for _, i := range list {
		if i.Created > at && len(i.RepoTags) > 0 {
			best, at = i.RepoTags[0], i.Created
		}
	}
	return best
}
