package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/activities/ledger"
	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/workflows/runbook"
)

// projectLabel is what compose, and hive as compose does, marks its own with.
const (
	projectLabel = "com.docker.compose.project"
	serviceLabel = "com.docker.compose.service"
)

// DownOptions say what goes besides containers and networks.
type DownOptions struct {
	// Volumes names the project whose data is to be given up, with the passwords and
	// the certificate that hive up made; empty keeps everything.
	Volumes string
	// Images removes the images that were made here.
	Images bool
	// Sources are hive's own, where the operator names them (see Sources).
	Sources string
}

// Removed counts what is gone.
type Removed struct {
	Containers int `json:"containers"`
	Networks   int `json:"networks"`
	Volumes    int `json:"volumes"`
	Images     int `json:"images"`
	Files      int `json:"files"`
}

// Down stops both projects in the reverse of the order in which they start, each
// container with its own grace, and removes their containers and networks, and what
// else o names. It looks at labels alone: what is not of these projects is not touched.
// A stack that is not the repository's is none of them: only the platform is.
func Down(ctx context.Context, dir string, o DownOptions, progress *Progress) (Removed, error) {
	var gone Removed
	on, err := standOn(ctx, dir, o.Sources)
	if err != nil {
		return gone, err
	}
	platform, err := on.platform(ctx)
	if err != nil {
		return gone, err
	}
	if o.Volumes != "" && o.Volumes != on.stack {
		return gone, runbook.Fail(runbook.Refused, "the stack here is %q, not %q: nothing was touched; to give up its data say --volumes %s", on.stack, o.Volumes, on.stack)
	}
	api, err := docker.Open()
	if err != nil {
		return gone, err
	}
	defer api.Close()
	if err := answering(ctx, api); err != nil {
		return gone, err
	}
	release, err := alone(dir)
	if err != nil {
		return gone, err
	}
	defer release()
	if err := on.alone(ctx, api, platform); err != nil {
		return gone, err
	}
	d := &down{ground: on, api: api, progress: progress, services: platform, gone: &gone}
	if err := d.choose(ctx); err != nil {
		return gone, err
	}
	defer progress.watch()()
	steps := []func(context.Context) error{d.containers, d.networks}
	if o.Volumes != "" {
		steps = append(steps, d.volumes, d.files)
	}
	if o.Images {
		steps = append(steps, d.images)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				return gone, interrupted("interrupted; hive down goes on from here")
			}
			return gone, err
		}
	}
	return gone, nil
}

type down struct {
	ground
	api      client.APIClient
	progress *Progress
	services *types.Project // of the platform
	projects []string
	// order is the rank of a service, by project and name: the higher stops first.
	order map[string]int
	// rolled are the stack's services whose images a roll keeps under tags of ours.
	rolled []string
	gone   *Removed
}

// Ranks, in the order in which things start.
const (
	rankRegistry = iota
	rankStore
	rankApplication
	rankProxy
	rankWorker // they hold streams through the proxy, for which it would wait
	rankMonitoring
	rankTemporal
	rankOpsworker
)

// choose says which projects go, and in which order their services stop.
func (d *down) choose(ctx context.Context) error {
	name := d.services.Name
	d.projects = []string{name}
	d.order = map[string]int{
		name + "/registry": rankRegistry, name + "/" + ledgerName: rankStore,
		name + "/temporal": rankTemporal, name + "/opsworker": rankOpsworker,
	}
	if !d.own() {
		return nil
	}
	project, err := policy.Hand{ProjectDir: d.dir}.Project(ctx)
	if err != nil {
		return err
	}
	d.projects = append(d.projects, project.Name)
	ranks := map[string]int{
		string(runbook.RoleStore): rankStore, string(runbook.RoleApp): rankApplication, string(runbook.RoleWorker): rankWorker,
		string(runbook.RoleProxy): rankProxy, string(runbook.RoleMonitoring): rankMonitoring,
	}
	for name, svc := range project.Services {
		extension, _ := svc.Extensions["x-hive"].(map[string]any)
		role, _ := extension["role"].(string)
		d.order[project.Name+"/"+name] = ranks[role]
		d.rolled = append(d.rolled, name)
	}
	return nil
}

func (d *down) filter(project string) filters.Args {
	return filters.NewArgs(filters.Arg("label", projectLabel+"="+project))
}

func (d *down) containers(ctx context.Context) error {
	d.progress.phase("containers")
	byRank := map[int][]container.Summary{}
	for _, project := range d.projects {
		listed, err := d.api.ContainerList(ctx, container.ListOptions{All: true, Filters: d.filter(project)})
		if err != nil {
			return err
		}
		for _, c := range listed {
			rank, known := d.order[project+"/"+c.Labels[serviceLabel]]
			if !known {
				rank = rankApplication
			}
			byRank[rank] = append(byRank[rank], c)
		}
	}
	for rank := rankOpsworker; rank >= rankRegistry; rank-- {
		g, ctx := errgroup.WithContext(ctx)
		for _, c := range byRank[rank] {
			g.Go(func() error { return d.container(ctx, c) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
		d.gone.Containers += len(byRank[rank])
	}
	return nil
}

func (d *down) container(ctx context.Context, c container.Summary) error {
	name := strings.TrimPrefix(slices.Concat(c.Names, []string{c.ID})[0], "/")
	t := d.progress.begin(name)
	defer t.quit()
	t.at("stopping")
	begun := time.Now()
	if err := d.api.ContainerStop(ctx, c.ID, container.StopOptions{}); err != nil && !cerrdefs.IsNotFound(err) && !cerrdefs.IsNotModified(err) {
		return fmt.Errorf("stop of %s: %w", name, err)
	}
	took := time.Since(begun)
	if err := d.api.ContainerRemove(ctx, c.ID, container.RemoveOptions{RemoveVolumes: true}); err != nil && !cerrdefs.IsNotFound(err) && !cerrdefs.IsConflict(err) {
		return fmt.Errorf("removal of %s: %w", name, err)
	}
	const worthALine = time.Second
	if took > worthALine {
		t.done("%s stopped and removed", name)
	}
	return nil
}

func (d *down) networks(ctx context.Context) error {
	d.progress.phase("networks")
	for _, project := range d.projects {
		listed, err := d.api.NetworkList(ctx, network.ListOptions{Filters: d.filter(project)})
		if err != nil {
			return err
		}
		for _, n := range listed {
			if err := d.api.NetworkRemove(ctx, n.ID); err != nil && !cerrdefs.IsNotFound(err) {
				return fmt.Errorf("network %s: %w; a container of another project may be connected to it: docker network inspect %s", n.Name, err, n.Name)
			}
			d.gone.Networks++
		}
	}
	return nil
}

// volumes removes those that carry the projects' labels, one by one and by name.
func (d *down) volumes(ctx context.Context) error {
	d.progress.phase("volumes")
	for _, project := range d.projects {
		listed, err := d.api.VolumeList(ctx, volume.ListOptions{Filters: d.filter(project)})
		if err != nil {
			return err
		}
		for _, v := range listed.Volumes {
			if project == d.services.Name && !d.ours(v.Name) {
				continue // the platform's data of another project
			}
			if err := d.api.VolumeRemove(ctx, v.Name, false); err != nil && !cerrdefs.IsNotFound(err) {
				return fmt.Errorf("volume %s: %w; a container of another project may use it", v.Name, err)
			}
			d.gone.Volumes++
		}
	}
	return nil
}

// ours says whether a volume of the platform is this project's.
func (d *down) ours(volume string) bool {
	for _, v := range d.services.Volumes {
		if v.Name == volume {
			return true
		}
	}
	return false
}

// files removes what hive up wrote and nobody can use without the volumes. Backups,
// logs, reports and secrets that an operator brought stay.
func (d *down) files(context.Context) error {
	for _, file := range d.written() {
		switch err := os.Remove(file); {
		case err == nil:
			d.gone.Files++
		case !errors.Is(err, os.ErrNotExist):
			return err
		}
	}
	// Without the database these are a witness against the next one.
	return os.RemoveAll(filepath.Join(d.dir, ledger.StateDir))
}

// written are the files that hive up makes for this project.
func (d *down) written() []string {
	files := []string{filepath.Join(d.sources, platformEnv)}
	names := ofPlatform
	if d.own() {
		files, names = append(files, filepath.Join(d.dir, stackEnv)), passwords
		files = append(files, filepath.Join(d.dir, secretsDir, accessTokens))
		if ownPair(filepath.Join(d.dir, tlsDir)) {
			files = append(files, filepath.Join(d.dir, tlsDir, certificate), filepath.Join(d.dir, tlsDir, privateKey))
		}
	}
	for _, name := range names {
		files = append(files, filepath.Join(d.dir, secretsDir, name))
	}
	return files
}

// images removes what was made here: by the names that only hive gives.
func (d *down) images(ctx context.Context) error {
	d.progress.phase("images")
	listed, err := d.api.ImageList(ctx, image.ListOptions{})
	if err != nil {
		return err
	}
	// What stands on another goes before it: derived images first, roots last.
	slices.SortStableFunc(listed, func(a, b image.Summary) int { return int(b.Created - a.Created) })
	for _, i := range listed {
		names := madeHere(i, d.rolled)
		for _, name := range names {
			t := d.progress.begin(name)
			_, err := d.api.ImageRemove(ctx, name, image.RemoveOptions{PruneChildren: true})
			t.quit()
			switch {
			case cerrdefs.IsConflict(err):
				d.progress.say("%s stays: a container of somebody else uses it", name)
			case err != nil && !cerrdefs.IsNotFound(err):
				return fmt.Errorf("image %s: %w", name, err)
			}
		}
		if _, err := d.api.ImageInspect(ctx, i.ID); len(names) > 0 && cerrdefs.IsNotFound(err) {
			d.gone.Images++
		}
	}
	return nil
}

// madeHere are the names of an image by which hive made or pulled it for these
// services: tags first, then what a registry knows it by, which outlives a tag of
// another repository. An image without any name goes by its ID, if its label is ours.
func madeHere(i image.Summary, services []string) []string {
	prefixes := []string{registryAddress + "/leanvibe/", "hive/"}
	for _, service := range services {
		// The rollback tags of another project on this engine are not this one's to remove.
		prefixes = append(prefixes, "hive-rollback/"+service+":")
	}
	for _, r := range append(slices.Clone(recipes), recipe{name: debianRoot.name}, recipe{name: nginxRoot.name}) {
		prefixes = append(prefixes, "local/"+r.name+":")
	}
	var names []string
	nameless := true
	for _, name := range slices.Concat(i.RepoTags, i.RepoDigests) {
		if strings.HasPrefix(name, "<none>") {
			continue // how engines before 25 write that there is none
		}
		nameless = false
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			names = append(names, name)
		}
	}
	if _, labelled := i.Labels[inputsLabel]; nameless && labelled {
		names = []string{i.ID}
	}
	return names
}
