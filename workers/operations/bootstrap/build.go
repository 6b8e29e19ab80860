package bootstrap

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/client"
)

// Labels of the images of our own programs. Inputs is the hash of everything that
// the image was made of, so that an unchanged one is recognised under any version.
const (
	inputsLabel  = "io.leanvibe.hive.inputs"
	versionLabel = "io.leanvibe.hive.version"
)

// stageLabel marks a stage of a build that is not part of the image.
const stageLabel = "io.leanvibe.hive.stage"

// builder makes images in the engine.
type builder struct {
	api client.APIClient
	// dir is the root of hive's sources.
	dir      string
	progress *Progress
	aptOnce  sync.Mutex
	// working is everything that goes on in the background.
	working sync.WaitGroup
	// slots bounds the builds at a time: more than four only get in each other's way.
	slots chan struct{}
}

func newBuilder(api client.APIClient, dir string, progress *Progress) *builder {
	const atOnce = 4
	return &builder{api: api, dir: dir, progress: progress, slots: make(chan struct{}, atOnce)}
}

// content is one file of a build context: read from path, or if that is empty, text.
type content struct {
	name string
	path string
	text string
}

// folder is a directory's files as a build context.
func folder(dir string) ([]content, error) {
	var files []content
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files = append(files, content{name: name, path: path})
		return err
	})
	slices.SortFunc(files, func(a, b content) int { return strings.Compare(a.name, b.name) })
	return files, err
}

// digest is the hash of the files' names, modes and bytes.
func digest(files []content, also ...string) (string, error) {
	sum := sha256.New()
	for _, f := range files {
		r, size, mode, err := f.open()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %o %d\n", f.name, mode, size)
		_, err = io.Copy(sum, r)
		_ = r.Close()
		if err != nil {
			return "", fmt.Errorf("%s: %w", f.name, err)
		}
	}
	for _, a := range also {
		fmt.Fprintf(sum, "%d %s\n", len(a), a)
	}
	return short([sha256.Size]byte(sum.Sum(nil))), nil
}

// open gives a file's bytes. Of its mode only "executable" counts: the rest is the
// umask of whoever checked the sources out.
func (f content) open() (io.ReadCloser, int64, int64, error) {
	const plain, program = 0o644, 0o755
	if f.path == "" {
		return io.NopCloser(strings.NewReader(f.text)), int64(len(f.text)), plain, nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return nil, 0, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, 0, 0, err
	}
	if info.Mode()&0o100 != 0 {
		return file, info.Size(), program, nil
	}
	return file, info.Size(), plain, nil
}

// pack streams the files as a tar without times and owners, so that the engine's
// own cache recognises them.
func pack(files []content) io.ReadCloser {
	reader, writer := io.Pipe()
	go func() {
		archive := tar.NewWriter(writer)
		err := func() error {
			for _, f := range files {
				r, size, mode, err := f.open()
				if err != nil {
					return err
				}
				err = archive.WriteHeader(&tar.Header{Name: f.name, Size: size, Mode: mode, Typeflag: tar.TypeReg})
				if err == nil {
					_, err = io.Copy(archive, r)
				}
				_ = r.Close()
				if err != nil {
					return fmt.Errorf("%s: %w", f.name, err)
				}
			}
			return archive.Close()
		}()
		_ = writer.CloseWithError(err)
	}()
	return reader
}

// make builds an image and gives it the tag. Every line of the build goes to each.
func (b *builder) make(ctx context.Context, files []content, tag string, args, labels map[string]string, t *task, each func(line string)) (string, error) {
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	given := map[string]*string{}
	for name, value := range args {
		given[name] = &value
	}
	packed := pack(files)
	defer packed.Close()
	answer, err := b.api.ImageBuild(ctx, packed, build.ImageBuildOptions{
		Tags: []string{tag}, Labels: labels, BuildArgs: given, Remove: true, ForceRemove: true, Version: build.BuilderV1,
	})
	if err != nil {
		return "", fmt.Errorf("build of %s: %w", tag, err)
	}
	defer answer.Body.Close()
	var said lastWords
	said.each = func(line string) {
		t.at("%s", line)
		if each != nil {
			each(line)
		}
	}
	var id string
	err = stream(answer.Body, func(m message) {
		_, _ = io.WriteString(&said, m.Stream)
		if m.Aux.ID != "" {
			id = m.Aux.ID
		}
	})
	if err == nil && id == "" {
		err = errors.New("the engine named no image")
	}
	if err != nil {
		return "", fmt.Errorf("build of %s: %w; its last lines:\n%s", tag, err, said.String())
	}
	return id, nil
}

// message is one object of the engine's streams.
type message struct {
	Stream, Status, ID string
	Error              string
	Aux                struct{ ID, Digest string }
}

// stream reads to the end, because errors come inside.
func stream(body io.Reader, each func(message)) error {
	decoder := json.NewDecoder(body)
	for {
		var m message
		err := decoder.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.Error != "":
			return errors.New(strings.TrimSpace(m.Error))
		}
		each(m)
	}
}

// have is the ID of the image that the tag names, "" where there is none.
func (b *builder) have(ctx context.Context, tag string) (id string, labels map[string]string, err error) {
	found, err := b.api.ImageInspect(ctx, tag)
	if cerrdefs.IsNotFound(err) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("image %s: %w", tag, err)
	}
	if found.Config != nil {
		labels = found.Config.Labels
	}
	return found.ID, labels, nil
}
