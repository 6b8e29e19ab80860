package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/leanvibe/hive/activities/proxy"
	"github.com/leanvibe/hive/workflows/runbook"
)

// settleMax is above the life of the longest lock that nobody frees: opsworker's own on the proxy, 30 s.
const settleMax = 50 * time.Second

// settled waits until no workflow runs: neither a procedure, nor a lock, nor opsworker's own look at the proxy.
func (b *Bench) settled(ctx context.Context) error {
	return until(ctx, settleMax, "an end of all runs", func(ctx context.Context) error {
		open, err := b.running(ctx)
		if err == nil && len(open) > 0 {
			err = errors.New("still running: " + strings.Join(open, ", "))
		}
		return err
	})
}

func (b *Bench) running(ctx context.Context) ([]string, error) {
	page, err := b.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: "ops", Query: "ExecutionStatus = 'Running'"})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range page.GetExecutions() {
		out = append(out, e.GetExecution().GetWorkflowId())
	}
	slices.Sort(out)
	return out, nil
}

const healthMax = 15 * time.Second

// Census is everything that stands, a line a thing, sorted; without ids, addresses and times. It waits for what ends by
// itself (locks, sessions); what does not is in it.
func (b *Bench) Census(ctx context.Context) ([]string, error) {
	var out []string
	if err := b.ready(ctx); err != nil {
		return nil, err
	}
	if err := b.settled(ctx); err != nil {
		out = append(out, "open: "+err.Error())
	}
	for _, look := range []func(context.Context) ([]string, error){
		b.countContainers, b.countRoutes, b.countTags, b.countDatabase, b.countFiles, b.countSilences,
	} {
		lines, err := look(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, lines...)
	}
	slices.Sort(out)
	return out, nil
}

// countContainers waits a little for health: an engine on a busy machine is late with its verdict.
func (b *Bench) countContainers(ctx context.Context) ([]string, error) {
	_ = until(ctx, healthMax, "healthy replicas", b.healthy) // what is not healthy then is counted as it is
	census, err := b.docker.TakeCensus(ctx, runbook.CensusInput{Project: b.stack.Project})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, c := range census.Containers {
		version := b.images.version(c.ImageID)
		if version == "" {
			version = c.Image
		}
		out = append(out, fmt.Sprintf("container %s %d runs %s: %s %s, %d restarts", c.Service, c.Number, version, c.State, c.Health, c.Restarts))
	}
	drains, err := b.draining(ctx)
	for range drains {
		out = append(out, "a worker drains")
	}
	return out, err
}

// draining are the workers that take no tasks, by container ID.
func (b *Bench) draining(ctx context.Context) ([]string, error) {
	census, err := b.docker.TakeCensus(ctx, runbook.CensusInput{Project: b.stack.Project})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, c := range census.Of(b.config.job()) {
		if c.State != "running" {
			continue
		}
		var s runbook.WorkerState
		if err := getJSON(ctx, "http://"+net.JoinHostPort(c.Address, strconv.Itoa(webPort))+"/control/status", &s); err != nil {
			return nil, err
		}
		if s.Draining {
			out = append(out, c.ID)
		}
	}
	return out, nil
}

// countRoutes names the replicas that nginx routes to, by number.
func (b *Bench) countRoutes(ctx context.Context) ([]string, error) {
	census, err := b.docker.TakeCensus(ctx, runbook.CensusInput{Project: b.stack.Project})
	if err != nil {
		return nil, err
	}
	state, err := (proxy.Hand{API: b.api, ProjectDir: b.config.dir()}).Observe(ctx, b.proxyInput())
	if err != nil {
		return nil, err
	}
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
	return out, nil
}

// countTags names what each tag of the bench's images stands for.
func (b *Bench) countTags(ctx context.Context) ([]string, error) {
	list, err := b.api.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("label", "hivechaos.bench="+b.config.project()))})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, i := range list {
		version := b.images.version(i.ID)
		out = append(out, "image "+version)
		for _, tag := range i.RepoTags {
			if !strings.Contains(tag, "<none>") {
				out = append(out, "tag "+strings.TrimPrefix(tag, b.config.registry())+" is "+version)
			}
		}
	}
	return out, nil
}

func (b *Bench) countDatabase(ctx context.Context) ([]string, error) {
	conn, err := b.database(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var sessions, advisory int
	err = until(ctx, 10*time.Second, "an end of sessions", func(ctx context.Context) error {
		err := conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
			(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')`).Scan(&sessions, &advisory)
		if err == nil && sessions+advisory > 0 {
			err = fmt.Errorf("%d sessions, %d advisory locks", sessions, advisory)
		}
		return err
	})
	out := []string{fmt.Sprintf("database: %d sessions, %d advisory locks", sessions, advisory)}
	if err != nil && sessions+advisory == 0 {
		return nil, err
	}
	rows, err := conn.Query(ctx, `SELECT i.relname, x.indisvalid, CASE WHEN x.indisvalid THEN (pgstatindex(i.oid)).avg_leaf_density >= 50 ELSE false END
		FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace WHERE n.nspname = 'shop'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var valid, dense bool
		if err := rows.Scan(&name, &valid, &dense); err != nil {
			return nil, err
		}
		out = append(out, fmt.Sprintf("index %s: valid %t, dense %t", name, valid, dense))
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	var dead int64
	err = conn.QueryRow(ctx, `SELECT dead_tuple_count FROM pgstattuple('shop.orders')`).Scan(&dead)
	return append(out, fmt.Sprintf("table orders: dead rows %t", dead > 0)), err
}

// countFiles names the logs with their content's hash, the reports, and whatever is only partly written.
func (b *Bench) countFiles(context.Context) ([]string, error) {
	var out []string
	err := filepath.WalkDir(b.config.dir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // gone between two looks
			}
			return err
		}
		name, err := filepath.Rel(b.config.dir(), path)
		if err != nil {
			return err
		}
		switch dir := filepath.Dir(name); {
		case strings.Contains(name, ".partial"):
			out = append(out, "partial file in "+dir)
		case dir == "logs":
			body, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if strings.HasSuffix(name, ".gz") { // the archive names the hour it was made at, its content does not
				if body, err = unpacked(body); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			sum := sha256.Sum256(body)
			out = append(out, "log "+name+" "+hex.EncodeToString(sum[:4]))
		case strings.HasPrefix(filepath.Base(name), "report."):
			out = append(out, "report "+name)
		}
		return nil
	})
	return out, err
}

func unpacked(body []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// silence is what Alertmanager says of one.
type silence struct {
	ID       string    `json:"id"`
	Comment  string    `json:"comment"`
	StartsAt time.Time `json:"startsAt"`
	Status   struct {
		State string `json:"state"`
	} `json:"status"`
}

func (b *Bench) silences(ctx context.Context) ([]silence, error) {
	var out []silence
	return out, getJSON(ctx, b.policy.Metrics.Alertmanager+"/api/v2/silences", &out)
}

func (b *Bench) countSilences(ctx context.Context) ([]string, error) {
	all, err := b.silences(ctx)
	var out []string
	for _, s := range all {
		if s.Status.State == "active" {
			out = append(out, "silence still open: "+s.Comment)
		}
	}
	return out, err
}

func getJSON(ctx context.Context, url string, into any) error {
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
	return json.NewDecoder(res.Body).Decode(into)
}
