package probe

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

func TestTheTokenGoesToWorkersAndWithTasksAndNowhereElse(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]string{}
	var enough context.CancelFunc // of a supply, which one request is all of
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		token := r.Header.Get("Authorization")
		seen[r.Method+" "+r.URL.Path] = token
		if enough != nil {
			enough()
		}
		if strings.HasPrefix(r.URL.Path, "/control/") && token != "Bearer the-operators-token" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = w.Write([]byte(`{"draining": true}`))
	})
	dir := t.TempDir()
	ctx, h, in := context.Background(), Hand{ProjectDir: dir}, runbook.WorkerInput{URL: url, Name: "engines-1"}
	_, err := h.Drain(ctx, in)
	require.Equal(t, runbook.Refused, runbook.KindOf(err), "a stack without the file is asked without a token")
	require.ErrorContains(t, err, "engines-1 answers 403 to /control/drain: compare secrets/operator_token with")

	require.NoError(t, os.MkdirAll(filepath.Join(dir, "secrets"), 0o700))
	file := filepath.Join(dir, TokenFile)
	require.NoError(t, os.WriteFile(file, []byte("\n"), 0o600))
	_, err = h.Drain(ctx, in)
	require.ErrorContains(t, err, "secrets/operator_token is empty")

	require.NoError(t, os.WriteFile(file, []byte("the-operators-token\n"), 0o600))
	s, err := h.Drain(ctx, in)
	require.NoError(t, err)
	require.True(t, s.Draining)
	const window = runbook.Duration(patience)
	for _, supply := range []runbook.SupplyInput{{URL: url + "/v1/tasks", Post: "{}", Rate: 50, Window: window}, {URL: url + "/get", Rate: 50, Window: window}} {
		bounded, cancel := context.WithCancel(ctx)
		mu.Lock()
		enough = cancel
		mu.Unlock()
		out, err := h.Supply(bounded, supply)
		require.ErrorIs(t, err, context.Canceled)
		require.Positive(t, out.Sent)
		require.Zero(t, out.Failed)
	}
	_, err = h.Ask(ctx, runbook.AskInput{URL: url + "/ask"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"POST /control/drain": "Bearer the-operators-token", "GET /control/status": "Bearer the-operators-token",
		"POST /v1/tasks": "Bearer the-operators-token", "GET /get": "", "GET /ask": "",
	}, seen)
}
