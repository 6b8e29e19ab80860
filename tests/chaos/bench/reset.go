package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/activities/alertmanager"
	"github.com/leanvibe/hive/activities/proxy"
	"github.com/leanvibe/hive/workflows/runbook"
)

// Start is what a scenario changes of the usual start.
type Start struct {
	// Web and Job are the versions that the registry has of the two services' images; empty for the good ones.
	Web, Job string
	// Broken has a bad image show its fault as soon as the first replica that it stands in for has been stopped.
	Broken bool
}

const day = 24 * time.Hour

// Reset brings the stack to the same start as before every run: two replicas of each service on the good image and
// routed to, a database with work to do, old logs, one stopped one-off container and two images that nobody needs, no
// silences, nothing written.
func (b *Bench) Reset(ctx context.Context, s Start) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"platform", b.ready}, {"earlier runs", b.settled}, {"replicas", b.resetReplicas}, {"images", b.resetImages}, {"addresses", b.resetAddresses},
		{"database", b.resetDatabase}, {"files", func(context.Context) error { return b.resetFiles() }}, {"silences", b.resetSilences},
		{"one-off container", b.leaveContainer},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("bench %d: start again: %s: %w", b.config.Number, step.name, err)
		}
	}
	if s.Web != "" {
		b.images.point(web(), s.Web)
	}
	if s.Job != "" {
		b.images.point(job(), s.Job)
	}
	return b.watch.begin(ctx, b, s.Broken)
}

// resetReplicas makes the replicas anew unless they stand as at the start.
func (b *Bench) resetReplicas(ctx context.Context) error {
	if err := os.RemoveAll(b.path("logs", "web", "break")); err != nil {
		return err
	}
	if err := os.RemoveAll(b.path("logs", "job", "break")); err != nil {
		return err
	}
	ours := filters.NewArgs(filters.Arg("label", projectLabel+"="+b.config.project()))
	all, err := b.api.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	if err != nil {
		return err
	}
	right := 0
	for _, c := range all {
		service := c.Labels["com.docker.compose.service"]
		if service != b.config.web() && service != b.config.job() {
			continue
		}
		number := c.Labels["com.docker.compose.container-number"]
		plain := c.State == container.StateRunning && (number == "1" || number == "2") && c.Labels["com.docker.compose.oneoff"] != "True" &&
			strings.HasSuffix(b.images.version(c.ImageID), "@"+Good)
		if plain {
			right++
			continue
		}
		if err := gone(b.api.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})); err != nil {
			return err
		}
	}
	const wanted = 4
	if right == wanted {
		return b.resume(ctx)
	}
	if err := b.resetImages(ctx); err != nil {
		return err
	}
	return b.replicas(ctx)
}

// resume makes sure that no worker of the start drains: one that was told to by a run is made anew.
func (b *Bench) resume(ctx context.Context) error {
	drains, err := b.draining(ctx)
	if err != nil {
		return err
	}
	for _, id := range drains {
		if err := b.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true}); err != nil {
			return err
		}
	}
	if len(drains) > 0 {
		return b.replicas(ctx)
	}
	return nil
}

func (b *Bench) resetAddresses(ctx context.Context) error {
	front := proxy.Hand{API: b.api, ProjectDir: b.config.dir()}
	_, err := front.SetUpstream(ctx, runbook.SetUpstreamInput{
		ProxyInput: b.proxyInput(), Upstream: b.config.web(), Addresses: b.addresses(ctx), Run: "hive-up",
	})
	return err
}

func (b *Bench) database(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, "postgres://chaos:chaos@"+b.config.net()+".20:5432/chaos?sslmode=disable&application_name=chaos-kit&default_query_exec_mode=simple_protocol")
}

func (b *Bench) resetDatabase(ctx context.Context) error {
	conn, err := b.database(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	text, err := stackFiles.ReadFile("stack/database.sql")
	if err != nil {
		return err
	}
	failed := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "--") {
			continue
		}
		if _, err := conn.Exec(ctx, line); err != nil {
			if !strings.Contains(line, "_ccnew") {
				return fmt.Errorf("%s: %w", strings.TrimSpace(line), err)
			}
			failed++
		}
	}
	if failed != 1 {
		return errors.New("the build that must fail did not, so there is no invalid index to find")
	}
	return nil
}

// resetFiles leaves the logs of a start and no report.
func (b *Bench) resetFiles() error {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if err := errors.Join(second(z.Write([]byte("packed long ago\n"))), z.Close()); err != nil {
		return err
	}
	for _, old := range mustGlob(b.path("logs", "*.log*"), b.path("logs", "*.partial"), b.path("logs", "job", "turns"), b.path("out", "*", "report.*"), b.path("out", "notifications.log")) {
		if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.RemoveAll(b.path("out", "state", "notices")); err != nil {
		return err
	}
	for name, f := range map[string]struct {
		body []byte
		age  time.Duration
	}{
		"billing.log": {bytes.Repeat([]byte("a line of a log that nobody reads\n"), 2000), 8 * day}, "ancient.log.gz": {packed.Bytes(), 40 * day},
	} {
		if err := put(b.path("logs", name), f.body, 0o644); err != nil {
			return err
		}
		at := time.Now().Add(-f.age)
		if err := os.Chtimes(b.path("logs", name), at, at); err != nil {
			return err
		}
	}
	return nil
}

func mustGlob(patterns ...string) []string {
	var out []string
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err != nil {
			panic(err) // the pattern is the program's own
		}
		out = append(out, found...)
	}
	return out
}

func (b *Bench) resetSilences(ctx context.Context) error {
	silences, err := b.silences(ctx)
	if err != nil {
		return err
	}
	for _, s := range silences {
		if s.Status.State != "active" {
			continue
		}
		if _, err := (alertmanager.Hand{}).Close(ctx, runbook.SilenceInput{URL: b.policy.Metrics.Alertmanager, ID: s.ID, Run: "chaos"}); err != nil {
			return err
		}
	}
	return nil
}

// leaveContainer leaves an ended one-off container, as `docker compose run` does.
func (b *Bench) leaveContainer(ctx context.Context) error {
	made, err := b.api.ContainerCreate(ctx, &container.Config{
		Image: b.ref(web()), Cmd: []string{"check"}, Labels: map[string]string{
			projectLabel: b.config.project(), "com.docker.compose.service": b.config.web(), "com.docker.compose.oneoff": "True",
		},
	}, &container.HostConfig{}, nil, nil, b.config.project()+"-once")
	if err != nil {
		return err
	}
	if err := b.api.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		return err
	}
	// It counts as old when it has been over for longer than the policy's cleanup_after.
	return until(ctx, time.Minute, "the end of the one-off container", func(ctx context.Context) error {
		c, err := b.api.ContainerInspect(ctx, made.ID)
		if err != nil {
			return err
		}
		ended, err := time.Parse(time.RFC3339Nano, c.State.FinishedAt)
		if err == nil && (c.State.Running || time.Since(ended) < b.policy.Logs.CleanupAfter.D()+200*time.Millisecond) {
			err = errors.New("it has only just ended")
		}
		return err
	})
}
