package probe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// patience bounds what must come, on a machine that may stand still for a while.
const patience = 30 * time.Second

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

func TestAsk(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Hive-Instance", "hub-1")
		w.Header().Set("X-Hive-Version", "2.0")
		w.Header().Set("X-Hive-Upstream", "10.231.16.4:8082")
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/sick":
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"password": "geheim", "dsn":"postgres://u:geheim@h/db", "redis": "down"}`))
		case "/long":
			_, _ = w.Write([]byte(strings.Repeat("ä", 5000)))
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("short"))
		case "/slow":
			<-r.Context().Done()
		}
	})
	within := func(limit time.Duration, path string) runbook.Answer {
		a, err := Hand{}.Ask(context.Background(), runbook.AskInput{URL: url + path, Timeout: runbook.Duration(limit)})
		require.NoError(t, err)
		require.Positive(t, a.Took)
		return a
	}
	ask := func(path string) runbook.Answer { return within(patience, path) }
	well := ask("/")
	require.Equal(t, 200, well.Status)
	require.Equal(t, "hub-1", well.Instance)
	require.Equal(t, "2.0", well.Version)
	require.Equal(t, "10.231.16.4:8082", well.Upstream)
	require.Equal(t, 302, ask("/away").Status, "a redirect is its own answer")
	sick := ask("/sick")
	require.Equal(t, 503, sick.Status)
	require.NotContains(t, sick.Body, "geheim")
	require.Contains(t, sick.Body, `"redis": "down"`)
	long := ask("/long")
	require.LessOrEqual(t, len(long.Body), bodyMax+len("�"))
	require.Empty(t, long.Err)
	require.Equal(t, "unexpected EOF", ask("/cut").Err)
	require.Equal(t, "no answer within 500ms", within(500*time.Millisecond, "/slow").Err)

	a, err := Hand{}.Ask(context.Background(), runbook.AskInput{URL: "http://127.0.0.1:1/"})
	require.NoError(t, err)
	require.Equal(t, "connection refused", a.Err)
	require.Zero(t, a.Status)
	a, err = Hand{}.Ask(context.Background(), runbook.AskInput{URL: "tcp://" + strings.TrimPrefix(url, "http://")})
	require.NoError(t, err)
	require.Empty(t, a.Err)
	a, err = Hand{}.Ask(context.Background(), runbook.AskInput{URL: "tcp://127.0.0.1:1"})
	require.NoError(t, err)
	require.Equal(t, "connection refused", a.Err)
	_, err = Hand{}.Ask(context.Background(), runbook.AskInput{URL: "/readyz"})
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
}

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		`{"token":"abc","a":1}`:             `{"token":"•••","a":1}`,
		"password=abc&x=1":                  "password=•••&x=1",
		"Authorization: Bearer abc":         "Authorization: Bearer •••",
		"redis://:abc@10.0.0.1:6379":        "redis://•••@10.0.0.1:6379",
		`api_key = "abc"`:                   `api_key = "•••"`,
		"nothing to hide, tokenless at all": "nothing to hide, tokenless at all",
	} {
		require.Equal(t, want, mask(in))
	}
}

func TestAwaitAnswerHoldsWithoutABreak(t *testing.T) {
	var asked atomic.Int64
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n := asked.Add(1); n == 1 || n == 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	h, err := Hand{}.AwaitAnswer(context.Background(), runbook.AwaitAnswerInput{URL: url, Hold: runbook.Duration(400 * time.Millisecond), Deadline: runbook.Duration(20 * time.Second)})
	require.NoError(t, err)
	require.True(t, h.Healthy)
	require.GreaterOrEqual(t, asked.Load(), int64(5), "bad, good, bad: then held anew")

	h, err = Hand{}.AwaitAnswer(context.Background(), runbook.AwaitAnswerInput{URL: "http://127.0.0.1:1", Deadline: runbook.Duration(10 * time.Millisecond)})
	require.NoError(t, err)
	require.False(t, h.Healthy)
	require.Equal(t, "connection refused", h.Why)
	h, err = Hand{}.AwaitAnswer(context.Background(), runbook.AwaitAnswerInput{URL: url, Hold: runbook.Duration(time.Hour), Deadline: runbook.Duration(10 * time.Millisecond)})
	require.NoError(t, err)
	require.False(t, h.Healthy)
	require.Contains(t, h.Why, "not yet for 1h0m0s")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = Hand{}.AwaitAnswer(ctx, runbook.AwaitAnswerInput{URL: url})
	require.ErrorIs(t, err, context.Canceled)
}
