package whole

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/api/workflowservice/v1"
	sdklog "go.temporal.io/sdk/log"

	"github.com/leanvibe/hive/activities/proxy"
	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	projectLabel = "com.docker.compose.project"
	settleMax    = 90 * time.Second
)

// quiet is a Temporal client's log that nobody reads: a server that dies is what this is about.
func quiet() sdklog.Logger { return sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)) }

// ready waits until the platform works and nothing runs.
func (w *whole) ready(ctx context.Context) error {
	return until(ctx, settleMax, "a quiet platform", func(ctx context.Context) error {
		page, err := w.temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: "ops", Query: "ExecutionStatus = 'Running'"})
		if err != nil {
			return err
		}
		for _, e := range page.GetExecutions() {
			return errors.New(e.GetExecution().GetWorkflowId() + " still runs")
		}
		return ask(ctx, "http://127.0.0.1:9464/readyz", nil)
	})
}

// numbers are the replicas' numbers by service: where a run begins.
func (w *whole) numbers(ctx context.Context) ([]string, error) {
	census, err := w.docker.TakeCensus(ctx, runbook.CensusInput{Project: w.stack.Project})
	var out []string
	for _, c := range census.Containers {
		if svc, ok := w.stack.Service(c.Service); ok && svc.Role.Rolled() {
			out = append(out, fmt.Sprintf("%s %d %s", c.Service, c.Number, c.State))
		}
	}
	slices.Sort(out)
	return out, err
}

// census is everything that stands, a line a thing; without ids, addresses and times.
func (w *whole) census(ctx context.Context) ([]string, error) {
	var out []string
	if err := w.ready(ctx); err != nil {
		out = append(out, "open: "+err.Error())
	}
	census, err := w.docker.TakeCensus(ctx, runbook.CensusInput{Project: w.stack.Project})
	if err != nil {
		return nil, err
	}
	for _, c := range census.Containers {
		image := c.Image
		if svc, ok := w.stack.Service(c.Service); ok && svc.Role.Rolled() {
			image = "another image than its tag names"
			if named, err := w.docker.ResolveImage(ctx, runbook.ResolveImageInput{Image: svc.Image, Local: true}); err != nil {
				return nil, err
			} else if named.LocalID == c.ImageID {
				image = "the image that its tag names"
			}
		}
		out = append(out, fmt.Sprintf("container %s %d runs %s: %s", c.Service, c.Number, image, c.State))
	}
	routes, err := w.routes(ctx, census)
	if err != nil {
		return nil, err
	}
	database, err := w.database(ctx, census)
	if err != nil {
		return nil, err
	}
	silences, err := w.silences(ctx)
	if err != nil {
		return nil, err
	}
	out = slices.Concat(out, routes, database, silences, w.partial())
	slices.Sort(out)
	return out, nil
}

func (w *whole) routes(ctx context.Context, census runbook.Census) ([]string, error) {
	state, err := proxy.Hand{API: w.api, ProjectDir: w.Root}.Observe(ctx, runbook.ProxyInput{Project: w.stack.Project, Proxy: w.policy.Proxy})
	var out []string
	for upstream, addresses := range state.Upstreams {
		for _, address := range addresses {
			to := "nobody"
			for _, c := range census.Containers {
				if host, _, _ := net.SplitHostPort(address); host == c.Address && c.State == "running" {
					to = fmt.Sprintf("%s %d", c.Service, c.Number)
				}
			}
			out = append(out, "route "+upstream+" to "+to)
		}
	}
	return out, err
}

// database counts what a run may leave there: its sessions, its advisory locks, invalid indexes.
func (w *whole) database(ctx context.Context, census runbook.Census) ([]string, error) {
	password, err := os.ReadFile(filepath.Join(w.Root, w.policy.Database.PasswordFile))
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(fmt.Sprintf("postgres://%s@%s:%d/%s?sslmode=disable&application_name=chaos-kit",
		w.policy.Database.User, census.Of(w.policy.Database.Service)[0].Address, w.policy.Database.Port, w.policy.Database.Name))
	if err != nil {
		return nil, err
	}
	config.Password = strings.TrimSpace(string(password))
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var sessions, advisory, invalid int
	err = conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hive' OR application_name LIKE 'hive/%'),
		(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), (SELECT count(*) FROM pg_index WHERE NOT indisvalid)`).Scan(&sessions, &advisory, &invalid)
	return []string{fmt.Sprintf("database: %d sessions of runs, %d advisory locks, %d invalid indexes", sessions, advisory, invalid)}, err
}

func (w *whole) silences(ctx context.Context) ([]string, error) {
	var all []struct {
		Comment string
		Status  struct{ State string }
	}
	err := ask(ctx, w.policy.Metrics.Alertmanager+"/api/v2/silences", &all)
	var out []string
	for _, s := range all {
		if s.Status.State == "active" {
			out = append(out, "silence still open")
		}
	}
	return out, err
}

// partial names the directories where a file is only partly written.
func (w *whole) partial() []string {
	var out []string
	for _, dir := range []string{"logs", "out/state", "out/weekly-maintenance", "deploy/production/nginx"} {
		_ = filepath.WalkDir(filepath.Join(w.Root, dir), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.Contains(d.Name(), ".partial") {
				out = append(out, "partial file in "+dir)
			}
			return nil // what has gone meanwhile is not partial
		})
	}
	return out
}

// ask asks for JSON, or only for 200.
func ask(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// until waits for a condition.
func until(ctx context.Context, limit time.Duration, what string, holds func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not come about within %s: %w", what, limit, err)
		case <-tick.C:
		}
	}
}
