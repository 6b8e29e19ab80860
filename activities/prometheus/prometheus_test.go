package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/port"
	"github.com/leanvibe/hive/workflows/runbook"
)

// start starts a real Prometheus that scrapes itself and a port where nobody
// listens, and has a rule that cannot be evaluated.
func start(t *testing.T) (url string, stop func()) {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	require.NoError(t, err, "this test needs a real Prometheus: apt-get install prometheus")
	address := fmt.Sprintf("127.0.0.1:%d", port.Reserve(t))
	dir := t.TempDir()
	config := fmt.Sprintf(`
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}
rule_files: [rules.yml]
scrape_configs:
  - {job_name: self, static_configs: [{targets: ["%s"]}]}
  - {job_name: nobody, static_configs: [{targets: ["127.0.0.1:1"]}]}
`, address)
	rules := `
groups:
  - name: g
    rules:
      - {record: fine, expr: vector(7)}
      - {record: broken, expr: '{__name__=~"go_memstats_.+"} * on() {__name__=~"go_memstats_.+"}'}
      - {alert: Quiet, expr: vector(0) > 1}
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yml"), []byte(rules), 0o600))
	cmd := exec.Command(path, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	require.NoError(t, cmd.Start())
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	t.Cleanup(stop)
	return "http://" + address, stop
}

func TestPrometheus(t *testing.T) {
	url, stop := start(t)
	ctx := context.Background()
	var s runbook.MetricsState
	require.Eventually(t, func() bool {
		var err error
		s, err = Hand{}.Observe(ctx, runbook.MetricsInput{URL: url})
		return err == nil && s.Ready && s.TargetsUp == 1 && len(s.RulesFailed) == 1 && strings.Contains(strings.Join(s.TargetsDown, ""), "refused")
	}, 30*time.Second, 20*time.Millisecond)
	require.Len(t, s.TargetsDown, 1)
	require.Contains(t, s.TargetsDown[0], "nobody at 127.0.0.1:1: ")
	require.Equal(t, 3, s.Rules)
	require.Contains(t, s.RulesFailed[0], "broken: found duplicate series")

	out, err := Hand{}.Query(ctx, runbook.QueriesInput{MetricsInput: runbook.MetricsInput{URL: url}, Queries: []string{
		"vector(1)", "42", "absent_metric", "vector(0) / vector(0)", "up", "up[1m]", "vector(1) / vector(0)", "sum(", "fine", `"text"`,
	}})
	require.NoError(t, err)
	type seen struct {
		found bool
		value float64
		why   string
	}
	for i, want := range []seen{
		{true, 1, ""}, {true, 42, ""}, {false, 0, ""}, {false, 0, ""}, {false, 0, "gives 2 samples where one is needed: aggregate them"},
		{false, 0, "gives a matrix where one sample is needed"}, {false, 0, "is infinite"}, {false, 0, "parse error"}, {true, 7, ""}, {false, 0, "gives a text"},
	} {
		got := out.Samples[i]
		require.Equal(t, want.found, got.Found, got.Query)
		require.InDelta(t, want.value, got.Value, 1e-9, got.Query)
		require.Contains(t, got.Err, want.why, got.Query)
		require.Equal(t, want.why == "", got.Err == "", got.Query)
	}
	_, err = json.Marshal(out)
	require.NoError(t, err, "no NaN and no infinity reaches JSON")

	stop()
	_, err = Hand{}.Query(ctx, runbook.QueriesInput{MetricsInput: runbook.MetricsInput{URL: url}, Queries: []string{"up"}})
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
	require.ErrorContains(t, err, "Prometheus at "+url+" does not answer")
	_, err = Hand{}.Observe(ctx, runbook.MetricsInput{URL: url})
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
}

func TestWhatIsNoPrometheusIsRefused(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/-/ready" {
			http.Error(w, "<html>", http.StatusNotFound)
		}
	}))
	defer other.Close()
	_, err := Hand{}.Observe(context.Background(), runbook.MetricsInput{URL: other.URL})
	require.Equal(t, runbook.Refused, runbook.KindOf(err), "%v", err)
	_, err = Hand{}.Query(context.Background(), runbook.QueriesInput{MetricsInput: runbook.MetricsInput{URL: "::"}, Queries: []string{"up"}})
	require.Equal(t, runbook.Refused, runbook.KindOf(err), "%v", err)

	starting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
	}))
	defer starting.Close()
	s, err := Hand{}.Observe(context.Background(), runbook.MetricsInput{URL: starting.URL})
	require.NoError(t, err)
	require.False(t, s.Ready)
	_, err = Hand{}.Query(context.Background(), runbook.QueriesInput{MetricsInput: runbook.MetricsInput{URL: starting.URL}, Queries: []string{"up"}})
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err), "%v", err)
}
