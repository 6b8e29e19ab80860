package tests

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// The dashboards and rules are code that no compiler reads: a renamed metric leaves an empty panel, and nobody is told.
// These tests hold every query against the names that the services register and the exporters are known to serve.

const (
	grafanaDir    = "../deploy/production/grafana"
	prometheusDir = "../deploy/production/prometheus"
	policyFile    = "../deploy/production/runbook.yaml"
)

// dashboards are the runbook's four, under the uids of its URLs.
var dashboards = []string{"leanvibe-main", "leanvibe-performance", "leanvibe-infrastructure", "leanvibe-security"}

// exporters are the metrics of others that the queries use; each was seen on the exporter that the stack runs.
var exporters = []string{
	// Prometheus itself, and what it says of every target and alert.
	"up", "ALERTS", "prometheus_tsdb_head_series", "prometheus_rule_evaluation_failures_total", "prometheus_notifications_dropped_total",
	// client_golang's collectors, on every process of ours.
	"process_cpu_seconds_total", "process_open_fds", "process_max_fds", "process_start_time_seconds", "go_goroutines",
	// node_exporter.
	"node_cpu_seconds_total", "node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes", "node_load1",
	"node_filesystem_avail_bytes", "node_filesystem_size_bytes", "node_disk_read_bytes_total", "node_disk_written_bytes_total",
	"node_timex_offset_seconds", "node_timex_sync_status",
	// postgres_exporter.
	"pg_stat_activity_count", "pg_stat_activity_max_tx_duration", "pg_settings_max_connections", "pg_database_size_bytes",
	"pg_stat_database_xact_commit", "pg_stat_database_xact_rollback", "pg_stat_database_deadlocks",
	"pg_stat_database_blks_hit", "pg_stat_database_blks_read",
	// redis_exporter.
	"redis_cluster_state", "redis_cluster_size", "redis_cluster_known_nodes", "redis_cluster_slots_assigned", "redis_cluster_slots_ok",
	"redis_cluster_slots_fail", "redis_memory_used_bytes", "redis_memory_max_bytes", "redis_connected_clients", "redis_blocked_clients",
	"redis_connected_slaves", "redis_evicted_keys_total", "redis_commands_processed_total", "redis_connections_received_total",
	"redis_rejected_connections_total", "redis_aof_last_write_status", "redis_rdb_last_bgsave_status",
}

// query is one PromQL expression and where it stands.
type query struct{ where, expr string }

type dashboard struct {
	UID    string  `json:"uid"`
	Title  string  `json:"title"`
	Panels []panel `json:"panels"`
	Links  []struct {
		URL string `json:"url"`
	} `json:"links"`
	Templating struct {
		List []struct {
			Name     string `json:"name"`
			AllValue string `json:"allValue"`
		} `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []struct {
			Name       string     `json:"name"`
			Expr       string     `json:"expr"`
			Datasource datasource `json:"datasource"`
		} `json:"list"`
	} `json:"annotations"`
}

type datasource struct {
	UID string `json:"uid"`
}

type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"`
	Title   string `json:"title"`
	GridPos struct {
		H, W, X, Y int
	} `json:"gridPos"`
	Targets []struct {
		RefID      string     `json:"refId"`
		Expr       string     `json:"expr"`
		Datasource datasource `json:"datasource"`
	} `json:"targets"`
}

func readDashboard(t *testing.T, uid string) dashboard {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(grafanaDir, "dashboards", uid+".json"))
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(raw, &d), uid)
	return d
}

// queries are the dashboard's, with Grafana's variables replaced by values of their kind.
func (d dashboard) queries() []query {
	replace := []string{"$__rate_interval", "1m", "$__interval", "15s", "$__range", "1h"}
	for _, v := range d.Templating.List {
		replace = append(replace, "$"+v.Name, v.AllValue)
	}
	variables := strings.NewReplacer(replace...)
	var out []query
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			out = append(out, query{d.UID + ", panel " + p.Title + ", " + target.RefID, variables.Replace(target.Expr)})
		}
	}
	for _, a := range d.Annotations.List {
		out = append(out, query{d.UID + ", annotation " + a.Name, variables.Replace(a.Expr)})
	}
	return out
}

// rules are the queries of Prometheus's rule files, and the names that they record.
func rules(t *testing.T) (queries []query, recorded []string) {
	t.Helper()
	files, err := filepath.Glob(prometheusDir + "/rules/*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		var body struct {
			Groups []struct {
				Rules []struct{ Alert, Record, Expr string }
			}
		}
		require.NoError(t, yaml.Unmarshal(raw, &body), file)
		for _, g := range body.Groups {
			for _, r := range g.Rules {
				queries = append(queries, query{filepath.Base(file) + ", " + r.Alert + r.Record, r.Expr})
				if r.Record != "" {
					recorded = append(recorded, r.Record)
				}
			}
		}
	}
	return queries, recorded
}

// baselines are the queries of the policy.
func baselines(t *testing.T) (queries []query, shown map[string]string) {
	t.Helper()
	raw, err := os.ReadFile(policyFile)
	require.NoError(t, err)
	var body struct {
		Baselines []struct {
			Metric, Query string
			IdleQuery     string `yaml:"idle_query"`
		}
	}
	require.NoError(t, yaml.Unmarshal(raw, &body))
	require.NotEmpty(t, body.Baselines)
	shown = map[string]string{}
	for _, b := range body.Baselines {
		queries = append(queries, query{"runbook.yaml, " + b.Metric, b.Query})
		if b.IdleQuery != "" {
			queries = append(queries, query{"runbook.yaml, " + b.Metric + ", idle_query", b.IdleQuery})
		}
		shown[b.Metric] = b.Query
	}
	return queries, shown
}

func everyQuery(t *testing.T) []query {
	t.Helper()
	all, _ := rules(t)
	fromPolicy, _ := baselines(t)
	all = append(all, fromPolicy...)
	for _, uid := range dashboards {
		all = append(all, readDashboard(t, uid).queries()...)
	}
	return all
}

func TestDashboardsAreWhatGrafanaIsTold(t *testing.T) {
	files, err := filepath.Glob(grafanaDir + "/dashboards/*.json")
	require.NoError(t, err)
	require.Len(t, files, len(dashboards), "the runbook names %v", dashboards)
	source := provisioned(t)
	for _, uid := range dashboards {
		t.Run(uid, func(t *testing.T) {
			d := readDashboard(t, uid)
			require.Equal(t, uid, d.UID, "the file is named after the uid, which is the runbook's URL")
			require.NotEmpty(t, d.Title)
			require.NotEmpty(t, d.queries())
			seen := map[int]bool{}
			for _, p := range d.Panels {
				require.False(t, seen[p.ID], "panel id %d twice", p.ID)
				seen[p.ID] = true
				require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
				for _, target := range p.Targets {
					require.Equal(t, source, target.Datasource.UID, p.Title)
				}
				if p.Type != "row" && p.Type != "text" {
					require.NotEmpty(t, p.Targets, p.Title)
				}
			}
			require.Empty(t, overlaps(d.Panels))
			for _, l := range d.Links {
				if other, ok := strings.CutPrefix(l.URL, "/d/"); ok {
					require.Contains(t, dashboards, other)
				}
			}
		})
	}
}

// provisioned is the uid of the data source that Grafana is given.
func provisioned(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(grafanaDir + "/provisioning/datasources/prometheus.yml")
	require.NoError(t, err)
	var body struct{ Datasources []struct{ UID, URL string } }
	require.NoError(t, yaml.Unmarshal(raw, &body))
	require.Len(t, body.Datasources, 1)
	require.Equal(t, "http://prometheus:9090", body.Datasources[0].URL)
	return body.Datasources[0].UID
}

func overlaps(panels []panel) []string {
	var out []string
	for i, a := range panels {
		for _, b := range panels[i+1:] {
			if a.GridPos.X < b.GridPos.X+b.GridPos.W && b.GridPos.X < a.GridPos.X+a.GridPos.W &&
				a.GridPos.Y < b.GridPos.Y+b.GridPos.H && b.GridPos.Y < a.GridPos.Y+a.GridPos.H {
				out = append(out, a.Title+" covers "+b.Title)
			}
		}
	}
	return out
}

// What an operator sees and what ReadinessCheck judges must be one number.
func TestTheMainDashboardShowsTheBaselinesOfThePolicy(t *testing.T) {
	_, want := baselines(t)
	got := map[string]string{}
	for _, p := range readDashboard(t, "leanvibe-main").Panels {
		if _, ok := want[p.Title]; ok && len(p.Targets) == 1 {
			got[p.Title] = p.Targets[0].Expr
		}
	}
	require.Equal(t, want, got)
}

func TestQueriesUseOnlyMetricsThatExist(t *testing.T) {
	known := knownMetrics(t)
	for _, q := range everyQuery(t) {
		require.Empty(t, unknown(q.expr, known), "%s: %s", q.where, q.expr)
	}
}

// An exporter's name that no query uses any more would only make the list look checked.
func TestTheListOfExportersHoldsOnlyWhatIsUsed(t *testing.T) {
	used := map[string]bool{}
	for _, q := range everyQuery(t) {
		for _, name := range metricsOf(q.expr) {
			used[name] = true
		}
	}
	for _, name := range exporters {
		require.True(t, used[name], "%s is used nowhere", name)
	}
}

func TestAQueryOfAMetricThatNobodyServesIsFound(t *testing.T) {
	known := map[string]bool{"leanvibe_tasks_total": true, "x_seconds_bucket": true, "leanvibe:error_ratio:5m": true}
	for _, c := range []struct {
		expr string
		want []string
	}{
		{`sum by (event) (rate(leanvibe_tasks_total{event="gone"}[5m]))`, nil},
		{`sum without (le) (rate(leanvibe_task_total[5m])) > 3`, []string{"leanvibe_task_total"}},
		{`histogram_quantile(0.99, sum by (le) (rate(x_seconds_bucket[5m]))) and on (job) leanvibe:error_ratio:5m`, nil},
		{`x_seconds`, []string{"x_seconds"}},
		{`leanvibe:error_ratio:5m offset 1h unless ignoring (a) group_left (b) nobody{a=~"leanvibe_tasks_total|b"}`, []string{"nobody"}},
		{`avg_over_time(min(nothing)[1h:1m]) * -1e6 + Inf`, []string{"nothing"}},
		{`"leanvibe \" nothing" == bool leanvibe_tasks_total`, nil},
	} {
		require.Equal(t, c.want, unknown(c.expr, known), c.expr)
	}
}

func TestQueriesParse(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed, so nothing here can parse PromQL; tests/servers.sh installs it with Prometheus")
	}
	check := func(queries []query) (string, error) {
		type rule struct {
			Record string `yaml:"record"`
			Expr   string `yaml:"expr"`
		}
		list := []rule{}
		for i, q := range queries {
			list = append(list, rule{fmt.Sprintf("q:%d", i), q.expr})
		}
		body, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "queries", "rules": list}}})
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "rules.yml")
		require.NoError(t, os.WriteFile(file, body, 0o600))
		said, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput()
		return string(said), err
	}
	said, err := check(everyQuery(t))
	require.NoError(t, err, "%s", said)
	_, err = check([]query{{"planted", "sum(rate(up[5m])"}})
	require.Error(t, err, "a query with a missing bracket passes: the check checks nothing")

	files, err := filepath.Glob(prometheusDir + "/rules/*.yml")
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), promtool, append([]string{"check", "rules"}, files...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// unknown lists the metrics of the expression that are not known, in their order.
func unknown(expr string, known map[string]bool) []string {
	var out []string
	for _, name := range metricsOf(expr) {
		if !known[name] {
			out = append(out, name)
		}
	}
	return out
}

var (
	// quoted texts, label matchers, ranges, and lists of labels hold names that are no metrics.
	texts   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`)
	notHere = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|\boffset\s+-?\w+`)
	words   = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?|\d[\w.]*`)
	keyword = []string{"and", "or", "unless", "bool", "group_left", "group_right", "on", "ignoring", "by", "without", "inf", "nan"}
)

// metricsOf lists the metric names of an expression: what is neither a function, nor a keyword, nor a label, nor a number.
func metricsOf(expr string) []string {
	expr = texts.ReplaceAllString(expr, "")
	expr = notHere.ReplaceAllString(expr, " ")
	var out []string
	for _, word := range words.FindAllString(expr, -1) {
		word = strings.TrimSpace(word)
		isNumber := word[0] >= '0' && word[0] <= '9'
		if isNumber || strings.HasSuffix(word, "(") || slices.Contains(keyword, strings.ToLower(word)) {
			continue
		}
		out = append(out, word)
	}
	return out
}

func knownMetrics(t *testing.T) map[string]bool {
	t.Helper()
	known := registered(t)
	require.Greater(t, len(known), 20, "the reading of the sources finds nothing any more")
	_, recorded := rules(t)
	for _, name := range append(recorded, exporters...) {
		known[name] = true
	}
	return known
}

var ourMetric = regexp.MustCompile(`^(leanvibe|hive)_[a-z0-9_]+$`)

// registered reads from the sources which metrics our processes serve: every literal that looks like one of our names in
// a file that speaks to Prometheus's client library. A histogram's name stands for its three series.
func registered(t *testing.T) map[string]bool {
	t.Helper()
	names, histograms := map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir("../workers", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		if speaksToPrometheus(file) {
			collect(file, names, histograms)
		}
		return nil
	})
	require.NoError(t, err)
	for name := range histograms {
		delete(names, name)
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			names[name+suffix] = true
		}
	}
	return names
}

func speaksToPrometheus(file *ast.File) bool {
	for _, i := range file.Imports {
		if i.Path.Value == `"github.com/prometheus/client_golang/prometheus"` {
			return true
		}
	}
	return false
}

func collect(file *ast.File, names, histograms map[string]bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.BasicLit:
			if name := strings.Trim(x.Value, "\"`"); x.Kind == token.STRING && ourMetric.MatchString(name) {
				names[name] = true
			}
		case *ast.CompositeLit:
			if kind, ok := x.Type.(*ast.SelectorExpr); ok && kind.Sel.Name == "HistogramOpts" {
				found := map[string]bool{}
				for _, e := range x.Elts {
					ast.Inspect(e, func(n ast.Node) bool {
						if l, ok := n.(*ast.BasicLit); ok && ourMetric.MatchString(strings.Trim(l.Value, `"`)) {
							found[strings.Trim(l.Value, `"`)] = true
						}
						return true
					})
				}
				maps.Copy(histograms, found)
			}
		}
		return true
	})
}

// The page that lists our metrics is held against the sources too.
func TestTheMetricsPageListsEveryMetricOfOurs(t *testing.T) {
	raw, err := os.ReadFile("../docs/metrics.md")
	require.NoError(t, err)
	var missing []string
	for name := range registered(t) {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, suffix)
		}
		if !strings.Contains(string(raw), "`"+base) {
			missing = append(missing, base)
		}
	}
	sort.Strings(missing)
	require.Empty(t, slices.Compact(missing), "docs/metrics.md does not name them")
	_, recorded := rules(t)
	for _, name := range recorded {
		require.Contains(t, string(raw), "`"+name, "docs/metrics.md does not name the recording rule")
	}
}
