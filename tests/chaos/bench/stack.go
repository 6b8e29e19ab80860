package bench

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/template"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/activities/proxy"
	"github.com/leanvibe/hive/workflows/runbook"
)

//go:embed stack
var stackFiles embed.FS

const projectLabel = "com.docker.compose.project"

// files are the stack's files: the template, and where it goes in the project.
var files = map[string]string{
	"compose.yaml":     "deploy/production/docker-compose.production.yml",
	"runbook.yaml":     "deploy/production/runbook.yaml",
	"nginx.conf":       "deploy/production/nginx/nginx.conf",
	"prometheus.yml":   "deploy/production/prometheus/prometheus.yml",
	"alertmanager.yml": "deploy/production/alertmanager/alertmanager.yml",
}

// write makes the project directory anew.
func (b *Bench) write(ctx context.Context) error {
	if err := os.RemoveAll(b.config.dir()); err != nil {
		return err
	}
	values := map[string]any{
		"Project": b.config.project(), "Web": b.config.web(), "Job": b.config.job(), "Registry": b.config.registry(),
		"Net": b.config.net(), "Subnet": b.config.subnet(0, 20), "Range": b.config.subnet(8, 21), "Replicas": b.config.subnet(4, 22),
		"Images": b.config.Images,
	}
	for name, target := range files {
		text, err := stackFiles.ReadFile("stack/" + name)
		if err != nil {
			return err
		}
		t, err := template.New(name).Option("missingkey=error").Parse(string(text))
		if err != nil {
			return err
		}
		var body bytes.Buffer
		if err := t.Execute(&body, values); err != nil {
			return err
		}
		if err := put(b.path(target), body.Bytes(), 0o644); err != nil {
			return err
		}
	}
	for file, secret := range map[string]string{
		"postgres_password": "chaos", "redis_password": "chaos", "ledger_password": "chaos", "ledger_key": "a key of the chaos kit, which guards nothing",
	} {
		if err := put(b.path("secrets", file), []byte(secret+"\n"), 0o600); err != nil {
			return err
		}
	}
	for _, dir := range []string{"logs/web", "logs/job"} {
		if err := os.MkdirAll(b.path(dir), 0o777); err != nil {
			return err
		}
	}
	return b.load(ctx)
}

func put(path string, body []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, body, mode)
}

// create makes networks, volumes and containers, through the product's own hands, and waits until all is well.
func (b *Bench) create(ctx context.Context) error {
	if err := errors.Join(b.docker.Networks(ctx, b.project), b.docker.Volumes(ctx, b.project)); err != nil {
		return err
	}
	for _, name := range []string{"postgres", "redis", "prometheus", "alertmanager"} {
		if _, err := b.docker.Create(ctx, b.project, b.project.Services[name], docker.Options{Number: 1}); err != nil {
			return err
		}
	}
	if err := b.replicas(ctx); err != nil {
		return err
	}
	front := proxy.Hand{API: b.api, ProjectDir: b.config.dir()}
	if _, err := front.Seed(ctx, b.proxyInput(), map[string][]string{b.config.web(): b.addresses(ctx)}); err != nil {
		return err
	}
	if _, err := b.docker.Create(ctx, b.project, b.project.Services["nginx"], docker.Options{Number: 1}); err != nil {
		return err
	}
	if err := b.cluster(ctx); err != nil {
		return err
	}
	return until(ctx, time.Minute, "PostgreSQL", func(ctx context.Context) error {
		conn, err := b.database(ctx)
		if err == nil {
			err = conn.Close(ctx)
		}
		return err
	})
}

// replicas makes the two of each service, and waits for their health.
func (b *Bench) replicas(ctx context.Context) error {
	for _, name := range []string{b.config.web(), b.config.job()} {
		for number := 1; number <= 2; number++ {
			svc := b.project.Services[name]
			address, err := b.docker.FixedAddress(ctx, b.project, svc, b.stack.ReplicaRange)
			if err != nil {
				return err
			}
			if _, err := b.docker.Create(ctx, b.project, svc, docker.Options{Number: number, Address: address}); err != nil {
				return err
			}
		}
	}
	return until(ctx, time.Minute, "healthy replicas", b.healthy)
}

// healthy says which running replica is not.
func (b *Bench) healthy(ctx context.Context) error {
	census, err := b.docker.TakeCensus(ctx, runbook.CensusInput{Project: b.stack.Project})
	for _, c := range census.Containers {
		if (c.Service == b.config.web() || c.Service == b.config.job()) && c.State == "running" && c.Health != "healthy" && c.Health != "" {
			return fmt.Errorf("%s is %s, %s", c.Name, c.State, c.Health)
		}
	}
	return err
}

// addresses are those of the running web replicas, as the proxy's files write them.
func (b *Bench) addresses(ctx context.Context) []string {
	census, err := b.docker.TakeCensus(ctx, runbook.CensusInput{Project: b.stack.Project})
	if err != nil {
		return nil // who needs them finds none, and says so
	}
	var out []string
	for _, c := range census.Of(b.config.web()) {
		if c.State == "running" {
			out = append(out, net.JoinHostPort(c.Address, strconv.Itoa(webPort)))
		}
	}
	slices.Sort(out)
	return out
}

const webPort = 8080

func (b *Bench) proxyInput() runbook.ProxyInput {
	return runbook.ProxyInput{Project: b.stack.Project, Proxy: b.policy.Proxy}
}

// cluster makes the one Redis a cluster of one: the product knows no other.
func (b *Bench) cluster(ctx context.Context) error {
	c := redis.NewClient(&redis.Options{Addr: b.config.net() + ".21:6379", Password: "chaos"})
	defer c.Close()
	return until(ctx, time.Minute, "the Redis cluster", func(ctx context.Context) error {
		info, err := c.ClusterInfo(ctx).Result()
		if err != nil {
			return err
		}
		if bytes.Contains([]byte(info), []byte("cluster_slots_ok:16384")) && bytes.Contains([]byte(info), []byte("cluster_state:ok")) {
			return nil
		}
		_ = c.ClusterAddSlotsRange(ctx, 0, 16383).Err() // the next look tells
		return errors.New("its slots are not served yet")
	})
}

// remove takes the bench's containers, networks and volumes away, and nothing that does not carry its project's label.
func (b *Bench) remove(ctx context.Context) error {
	ours := filters.NewArgs(filters.Arg("label", projectLabel+"="+b.config.project()))
	containers, err := b.api.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	if err != nil {
		return err
	}
	for _, c := range containers {
		err = errors.Join(err, gone(b.api.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})))
	}
	networks, failed := b.api.NetworkList(ctx, network.ListOptions{Filters: ours})
	err = errors.Join(err, failed)
	for _, n := range networks {
		err = errors.Join(err, gone(b.api.NetworkRemove(ctx, n.ID)))
	}
	volumes, failed := b.api.VolumeList(ctx, volume.ListOptions{Filters: ours})
	if failed != nil {
		return errors.Join(err, failed)
	}
	for _, v := range volumes.Volumes {
		err = errors.Join(err, gone(b.api.VolumeRemove(ctx, v.Name, true)))
	}
	return err
}

// gone takes what is not there any more for removed.
func gone(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// Images finds the engine's images of the mini stack's stores, proxy and monitoring: those that `hive up` wrote into
// the .env beside the real compose file, or else those that it built here.
func Images(ctx context.Context, env map[string]string) (map[string]string, error) {
	api, err := docker.Open()
	if err != nil {
		return nil, err
	}
	defer api.Close()
	out := map[string]string{}
	for service, key := range map[string]string{
		"postgres": "POSTGRES_IMAGE", "redis": "REDIS_IMAGE", "nginx": "NGINX_IMAGE", "prometheus": "PROMETHEUS_IMAGE", "alertmanager": "ALERTMANAGER_IMAGE",
	} {
		if out[service] = cmp.Or(env[key], newest(ctx, api, "local/"+service)); out[service] == "" {
			return nil, fmt.Errorf("no image for %s: neither %s in deploy/production/.env nor local/%s on this engine; `hive up` makes them", service, key, service)
		}
	}
	return out, nil
}
