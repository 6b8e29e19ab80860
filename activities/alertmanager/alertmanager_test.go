package alertmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/port"
	"github.com/leanvibe/hive/workflows/runbook"
)

// start starts a real Alertmanager.
func start(t *testing.T) (url string) {
	t.Helper()
	path, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		path, err = exec.LookPath("alertmanager")
	}
	require.NoError(t, err, "this test needs a real Alertmanager: apt-get install prometheus-alertmanager")
	address := fmt.Sprintf("127.0.0.1:%d", port.Reserve(t))
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	require.NoError(t, os.WriteFile(config, []byte("route: {receiver: held, group_wait: 10ms}\nreceivers: [{name: held}]\n"), 0o600))
	cmd := exec.Command(path, "--config.file="+config, "--storage.path="+dir, "--web.listen-address="+address, "--cluster.listen-address=")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	url = "http://" + address
	require.Eventually(t, func() bool {
		_, err := Hand{}.List(context.Background(), runbook.AlertsInput{URL: url})
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	return url
}

func fire(t *testing.T, url string, labels map[string]string) {
	t.Helper()
	raw, err := json.Marshal([]map[string]any{{"labels": labels}})
	require.NoError(t, err)
	res, err := http.Post(url+"/api/v2/alerts", "application/json", bytes.NewReader(raw))
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
}

func live(t *testing.T, url string) (out []silence) {
	t.Helper()
	all, err := list(context.Background(), url)
	require.NoError(t, err)
	for _, s := range all {
		if s.live() {
			out = append(out, s)
		}
	}
	return out
}

func TestAlertmanager(t *testing.T) {
	url, ctx := start(t), context.Background()
	fire(t, url, map[string]string{"alertname": "TargetDown", "severity": "warning", "service": "communication-hub"})
	fire(t, url, map[string]string{"alertname": "HighErrorRate", "severity": "critical"})
	in := runbook.SilenceInput{URL: url, Run: "weekly/1", Comment: "rolling the hub", For: runbook.Duration(15 * time.Minute), Matchers: map[string]string{"service": "communication-hub"}}

	first, err := Hand{}.Open(ctx, in)
	require.NoError(t, err)
	require.NotEmpty(t, first.ID)
	require.WithinDuration(t, time.Now().Add(15*time.Minute), first.Until, 5*time.Second)

	var alerts []runbook.Alert
	require.Eventually(t, func() bool {
		s, err := Hand{}.List(ctx, runbook.AlertsInput{URL: url})
		alerts = s.Alerts
		return err == nil && len(alerts) == 2 && alerts[1].Silenced
	}, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, "HighErrorRate", alerts[0].Name)
	require.Equal(t, "critical", alerts[0].Severity)
	require.False(t, alerts[0].Silenced, "the silence is scoped")
	require.False(t, alerts[1].Since.IsZero())

	again, err := Hand{}.Open(ctx, in)
	require.NoError(t, err)
	require.Equal(t, first.ID, again.ID, "a retry adopts")
	other := in
	other.Run = "weekly/2"
	theirs, err := Hand{}.Open(ctx, other)
	require.NoError(t, err)
	require.NotEqual(t, first.ID, theirs.ID, "another run has one of its own")

	in.ID, in.For, in.Matchers = first.ID, runbook.Duration(time.Hour), nil
	longer, err := Hand{}.Open(ctx, in)
	require.NoError(t, err)
	require.Equal(t, first.ID, longer.ID)
	require.WithinDuration(t, time.Now().Add(time.Hour), longer.Until, 5*time.Second)
	in.For = runbook.Duration(time.Minute)
	same, err := Hand{}.Open(ctx, in)
	require.NoError(t, err)
	require.Equal(t, longer.Until.Unix(), same.Until.Unix(), "an extension never shortens")
	require.Len(t, live(t, url), 2)

	closed, err := Hand{}.Close(ctx, in)
	require.NoError(t, err)
	require.True(t, closed.Changed)
	closed, err = Hand{}.Close(ctx, in)
	require.NoError(t, err)
	require.False(t, closed.Changed, "ended already is success")
	closed, err = Hand{}.Close(ctx, runbook.SilenceInput{URL: url, ID: "00000000-0000-4000-8000-000000000000"})
	require.NoError(t, err)
	require.False(t, closed.Changed, "unknown is success")
	require.Len(t, live(t, url), 1)
	closed, err = Hand{}.Close(ctx, runbook.SilenceInput{URL: url, Run: "weekly/2"})
	require.NoError(t, err)
	require.True(t, closed.Changed, "a run finds its own without the ID")
	require.Empty(t, live(t, url))

	in.Matchers = map[string]string{"service": "communication-hub"}
	fresh, err := Hand{}.Open(ctx, in)
	require.NoError(t, err)
	require.NotEqual(t, first.ID, fresh.ID, "one that lapsed is opened anew")
	require.Len(t, live(t, url), 1)
	in.Matchers, in.ID = nil, "00000000-0000-4000-8000-000000000000"
	_, err = Hand{}.Open(ctx, in)
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
}

func TestSilencesThatMuteTooMuchAreRefused(t *testing.T) {
	fine := runbook.SilenceInput{URL: "http://127.0.0.1:1", Run: "r", For: runbook.Duration(time.Minute), Matchers: map[string]string{"service": "hub"}}
	for name, c := range map[string]struct {
		change func(*runbook.SilenceInput)
		want   string
	}{
		"no matchers": {func(in *runbook.SilenceInput) { in.Matchers = nil }, "would mute every alert"},
		"empty value": {func(in *runbook.SilenceInput) { in.Matchers = map[string]string{"service": ""} }, `matcher "service" = "" would match alerts that lack the label`},
		"no run":      {func(in *runbook.SilenceInput) { in.Run = "" }, "needs the run"},
		"for ever":    {func(in *runbook.SilenceInput) { in.For = runbook.Duration(25 * time.Hour) }, "up to 24h0m0s"},
		"no time":     {func(in *runbook.SilenceInput) { in.For = 0 }, "a silence for 0s is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			in := fine
			c.change(&in)
			_, err := Hand{}.Open(context.Background(), in)
			require.Equal(t, runbook.Refused, runbook.KindOf(err))
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := Hand{}.Open(context.Background(), fine)
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
	require.ErrorContains(t, err, "Alertmanager at http://127.0.0.1:1 does not answer: connection refused")
	_, err = Hand{}.Close(context.Background(), runbook.SilenceInput{URL: fine.URL})
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
}

func TestOtherServers(t *testing.T) {
	for status, kind := range map[int]runbook.Kind{
		http.StatusOK: runbook.Corrupt, http.StatusNotFound: runbook.Missing, http.StatusBadRequest: runbook.Refused, http.StatusBadGateway: runbook.Unreachable,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<html>"))
		}))
		_, err := Hand{}.List(context.Background(), runbook.AlertsInput{URL: s.URL})
		s.Close()
		require.Equal(t, kind, runbook.KindOf(err), "%v", err)
	}
}
