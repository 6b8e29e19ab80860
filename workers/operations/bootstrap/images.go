package bootstrap

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// recipe is an image that is built here where no registry can be reached.
type recipe struct {
	name string
	// dir holds its Dockerfile and files, relative to the project.
	dir string
	// env is the variable in the compose file that names the image, "" for one that is only a base.
	env string
}

var recipes = []recipe{
	{"busybox", "deploy/images/busybox", ""},
	{"registry", "deploy/platform/registry", registryVariable},
	{"redis", "deploy/images/redis", "REDIS_IMAGE"},
	{"postgres", "deploy/images/postgres", postgresVariable},
	{"nginx", "deploy/images/nginx", "NGINX_IMAGE"},
	{"prometheus", "deploy/images/prometheus", "PROMETHEUS_IMAGE"},
	{"alertmanager", "deploy/images/alertmanager", "ALERTMANAGER_IMAGE"},
	{"node-exporter", "deploy/images/node-exporter", "NODE_EXPORTER_IMAGE"},
	{"postgres-exporter", "deploy/images/postgres-exporter", "POSTGRES_EXPORTER_IMAGE"},
	{"redis-exporter", "deploy/images/redis-exporter", "REDIS_EXPORTER_IMAGE"},
}

// made is an image that is here now.
type made struct{ tag, id string }

// localImages are the images by recipe, each of which can be waited for by itself:
// the registry is wanted before the database's packages have come down.
type localImages map[string]*promise[made]

// promise is a value that somebody else is working on.
type promise[T any] struct {
	done  chan struct{}
	value T
	err   error
}

func promised[T any](working *sync.WaitGroup, work func() (T, error)) *promise[T] {
	p := &promise[T]{done: make(chan struct{})}
	working.Go(func() {
		defer close(p.done)
		p.value, p.err = work()
	})
	return p
}

func (p *promise[T]) wait(ctx context.Context) (T, error) {
	select {
	case <-p.done:
		return p.value, p.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// platformRecipes are what the platform alone needs.
var platformRecipes = []string{"registry", "postgres"}

// local starts making the recipes of the names, or every one where none is named.
func (b *builder) local(ctx context.Context, names ...string) localImages {
	base := promised(&b.working, func() (made, error) { return b.root(ctx, debianRoot) })
	all := localImages{debianRoot.name: base}
	wanted := func(name string) bool { return len(names) == 0 || slices.Contains(names, name) }
	nginx := base
	if wanted("nginx") {
		nginx = promised(&b.working, func() (made, error) { return b.root(ctx, nginxRoot) })
		all[nginxRoot.name] = nginx
	}
	for _, r := range recipes {
		if !wanted(r.name) {
			continue
		}
		from := base
		if r.name == "nginx" {
			from = nginx
		}
		all[r.name] = promised(&b.working, func() (made, error) {
			parent, err := from.wait(ctx)
			if err != nil {
				return made{}, err
			}
			return b.derived(ctx, r, parent)
		})
	}
	return all
}

// all waits for every one.
func (l localImages) all(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range l {
		g.Go(func() error { _, err := p.wait(ctx); return err })
	}
	return g.Wait()
}

func (b *builder) root(ctx context.Context, r root) (made, error) {
	m := made{tag: "local/" + r.name + ":" + r.inputs()}
	var err error
	if m.id, _, err = b.have(ctx, m.tag); m.id != "" || err != nil {
		return m, err
	}
	t := b.progress.begin(r.name)
	if m.id, err = b.importRoot(ctx, r, m.tag, t); err != nil {
		t.quit()
		return m, err
	}
	t.done("%s: Debian %s", m.tag, r.release)
	return m, nil
}

func (b *builder) derived(ctx context.Context, r recipe, parent made) (made, error) {
	files, err := folder(filepath.Join(b.dir, r.dir))
	if err != nil {
		return made{}, err
	}
	inputs, err := digest(files, parent.id)
	if err != nil {
		return made{}, err
	}
	m := made{tag: "local/" + r.name + ":" + inputs}
	if m.id, _, err = b.have(ctx, m.tag); m.id != "" || err != nil {
		return m, err
	}
	t := b.progress.begin(r.name)
	var version string
	m.id, err = b.make(ctx, files, m.tag, map[string]string{"BASE": parent.tag}, nil, t, func(line string) {
		if v, ok := packageVersion(line, r.name); ok {
			version = v
		}
	})
	if err != nil {
		t.quit()
		return m, err
	}
	t.done("%s%s", m.tag, version)
	return m, nil
}

// packageVersion reads what nginx -v and dpkg say of the version in a build's log.
func packageVersion(line, name string) (string, bool) {
	if v, ok := strings.CutPrefix(line, "nginx version: nginx/"); ok {
		return ": nginx " + v, true
	}
	// Setting up redis-server (5:7.0.15-1~deb12u5) ...
	rest, ok := strings.CutPrefix(line, "Setting up ")
	if !ok {
		return "", false
	}
	pkg, rest, ok := strings.Cut(rest, " (")
	if !ok || !strings.Contains(pkg, strings.TrimSuffix(name, "-exporter")) || strings.HasSuffix(pkg, "-common") {
		return "", false
	}
	version, _, ok := strings.Cut(rest, ")")
	return ": " + pkg + " " + version, ok
}
