package bootstrap

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leanvibe/hive/activities/docker"
)

// Newer builds a newer image of every application service, from the same sources
// under a new version, and pushes it under the tag that the compose file names.
// The engine keeps neither: its tag goes on naming what runs, and whoever rolls the
// services must pull. It is how `make run` and the tests have something to roll to.
func Newer(ctx context.Context, dir string, progress *Progress) (version string, err error) {
	api, err := docker.Open()
	if err != nil {
		return "", err
	}
	defer api.Close()
	if err := answering(ctx, api); err != nil {
		return "", err
	}
	release, err := alone(dir)
	if err != nil {
		return "", err
	}
	defer release()
	defer progress.watch()()
	b := newBuilder(api, dir, progress)
	from, err := recorded(filepath.Join(dir, stackEnv))
	if err != nil {
		return "", err
	}
	if from == "" {
		return "", fmt.Errorf("nothing is up in %s: hive up first", dir)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var images localImages
	if from == local {
		images = b.local(ctx)
	}
	version = "2.0+" + time.Now().UTC().Format("20060102T150405Z")
	progress.phase("newer images, version " + version)
	g, building := errgroup.WithContext(ctx)
	for _, p := range applications {
		g.Go(func() error { return b.newer(building, p, images, version) })
	}
	err = g.Wait()
	cancel()
	b.working.Wait()
	return version, err
}

func (b *builder) newer(ctx context.Context, p program, images localImages, version string) error {
	t := b.progress.begin(p.name)
	defer t.quit()
	base, err := basis(ctx, p, images)
	if err != nil {
		return err
	}
	inputs, err := b.inputs(ctx, p, base, t)
	if err != nil {
		return err
	}
	_, tag := repository(p.image)
	name := p.image + "-" + time.Now().UTC().Format("20060102t150405")
	if _, err := b.program(ctx, p, base, name, inputs, version, t); err != nil {
		return err
	}
	if err := b.send(ctx, p, name, t); err != nil {
		return err
	}
	t.done("%s: pushed as %s", p.name, tag)
	return nil
}
