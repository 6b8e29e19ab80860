package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Terminate pressed in the middle of a drain: nothing undoes. ReadinessCheck names what is left, the next roll clears it,
// and users notice nothing.
func TestTerminateInMidDrain(t *testing.T) {
	root := project(t)
	server := temporal{ui()}
	edit(t, filepath.Join(root, policyFile), "  monitor: 25s", "  monitor: 5s")
	before := running(t.Context(), t, "leanvibe")["universal-orchestrator"]
	users := ask(t, "http://127.0.0.1:8080/health/universal-orchestrator")
	inMidDrain(t, root)
	server.pressed(t, "rolling-restart/terminate", map[string]any{"reason": "a test"})

	left := hive(t, root, "run", "ReadinessCheck")
	require.Regexp(t, `universal-orchestrator.*RollingRestart (clears|repairs) it`, left.out)
	next := hive(t, root, "run", "RollingRestart", "--input", `{"services":["universal-orchestrator"]}`)
	require.Equal(t, exitOK, next.code)
	mended(t, root)
	asked, failed := users()
	require.Zero(t, failed, "of %d requests", asked)
	require.Len(t, running(t.Context(), t, "leanvibe")["universal-orchestrator"], len(before))
}

// Reset pressed while locks are held: the server refuses, because the locks are runs of their own that it would not take
// along, and the run goes on and ends with no lock left.
func TestResetWhileLocksAreHeld(t *testing.T) {
	root := project(t)
	server := temporal{ui()}
	edit(t, filepath.Join(root, policyFile), "  monitor: 25s", "  monitor: 5s")
	users := ask(t, "http://127.0.0.1:8080/health/universal-orchestrator")
	inMidDrain(t, root)
	code, said := server.post(t, "rolling-restart/reset", map[string]any{"reason": "a test", "requestId": "e2e-reset", "workflowTaskFinishEventId": server.lastTask(t, "rolling-restart")})
	require.Equal(t, http.StatusBadRequest, code)
	require.Contains(t, said, "pending child workflows")
	require.Equal(t, exitOK, hive(t, root, "status", "rolling-restart").code)
	locks := func() string {
		var list struct {
			Executions []struct {
				Execution struct {
					WorkflowID string `json:"workflowId"`
				} `json:"execution"`
			} `json:"executions"`
		}
		_, err := server.get(t.Context(), `/api/v1/namespaces/ops/workflows?query=ExecutionStatus%3D%22Running%22`, &list)
		if err != nil {
			return err.Error()
		}
		var ids []string
		for _, e := range list.Executions {
			ids = append(ids, e.Execution.WorkflowID)
		}
		return strings.Join(ids, " ")
	}
	require.Eventually(t, func() bool { return locks() == "" }, 2*time.Minute, time.Second, "still running: %s", locks())
	mended(t, root)
	asked, failed := users()
	require.Zero(t, failed, "of %d requests", asked)
}

// Terminate pressed in the middle of a rebuild: the act in flight hears of it and takes its half-built index away. Where it
// could not, ReadinessCheck names the index and the next run drops it.
func TestTerminateInMidReindex(t *testing.T) {
	root := project(t)
	server := temporal{ui()}
	t.Cleanup(func() { sql(t, `DROP TABLE IF EXISTS e2e_held`) })
	sql(t, `CREATE TABLE e2e_held (id int PRIMARY KEY, body text NOT NULL)`)
	sql(t, `INSERT INTO e2e_held SELECT n, md5(n::text) FROM generate_series(1, 200000) n`)
	sql(t, `DELETE FROM e2e_held WHERE id % 5 <> 0`)
	sql(t, `VACUUM ANALYZE e2e_held`)
	release := hold(t, "e2e_held") // young: the rebuild waits for it
	require.Equal(t, exitOK, hive(t, root, "run", "DatabaseMaintenance", "--detach").code)
	invalid := func() bool {
		return sql(t, `SELECT count(*) FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid WHERE t.relname = 'e2e_held' AND NOT indisvalid`) != "0"
	}
	require.Eventually(t, invalid, time.Minute, 100*time.Millisecond, "no rebuild begins")
	server.pressed(t, "database-maintenance/terminate", map[string]any{"reason": "a test"})
	sql(t, `SELECT pg_terminate_backend(`+release+`)`)

	if left := hive(t, root, "run", "ReadinessCheck"); invalid() {
		require.Regexp(t, `(?m)^(warning|critical) +database.*invalid index`, left.out)
	}
	require.Equal(t, exitOK, hive(t, root, "run", "DatabaseMaintenance").code)
	require.False(t, invalid())
	mended(t, root)
}

func ui() string { return strings.TrimSuffix(or(os.Getenv("HIVE_UI"), "http://127.0.0.1:8233"), "/") }

// inMidDrain starts a forced roll and returns when the proxy no longer routes to the first old replica, which still runs.
func inMidDrain(t *testing.T, root string) {
	t.Helper()
	file := filepath.Join(root, "deploy", "production", "nginx", "upstreams", "universal-orchestrator.conf")
	routed := func() []string {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		var out []string
		for line := range strings.Lines(string(raw)) {
			if rest, ok := strings.CutPrefix(line, "server "); ok {
				out = append(out, strings.Fields(rest)[0])
			}
		}
		return out
	}
	old := routed()
	require.Equal(t, exitOK, hive(t, root, "run", "RollingRestart", "--detach", "--input", `{"services":["universal-orchestrator"],"force":true}`).code)
	require.Eventually(t, func() bool {
		now := strings.Join(routed(), " ")
		return !strings.Contains(now, old[0]) || !strings.Contains(now, old[len(old)-1])
	}, 2*time.Minute, 50*time.Millisecond, "the roll does not come to a drain")
}

// post does to a run what a button of the Temporal UI does.
func (s temporal) post(t *testing.T, what string, body map[string]any) (code int, said string) {
	t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+"/api/v1/namespaces/ops/workflows/"+what, bytes.NewReader(raw))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	page, err := http.Get(s.base + "/api/v1/settings") // the UI's own pages carry its token against forged requests
	require.NoError(t, err)
	require.NoError(t, page.Body.Close())
	for _, c := range page.Cookies() {
		request.AddCookie(c)
		if c.Name == "_csrf" {
			request.Header.Set("X-CSRF-TOKEN", c.Value)
		}
	}
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(text)
}

func (s temporal) pressed(t *testing.T, what string, body map[string]any) {
	t.Helper()
	code, said := s.post(t, what, body)
	require.Equal(t, http.StatusOK, code, "%s: %s", what, said)
}

// lastTask is the event that Reset goes back to where the UI offers "last workflow task".
func (s temporal) lastTask(t *testing.T, id string) string {
	t.Helper()
	var body struct {
		History struct {
			Events []struct {
				ID   string `json:"eventId"`
				Type string `json:"eventType"`
			} `json:"events"`
		} `json:"history"`
	}
	_, err := s.get(context.WithoutCancel(t.Context()), "/api/v1/namespaces/ops/workflows/"+id+"/history-reverse", &body)
	require.NoError(t, err)
	for _, e := range body.History.Events { // the newest first
		if e.Type == "EVENT_TYPE_WORKFLOW_TASK_COMPLETED" {
			return e.ID
		}
	}
	require.Fail(t, "no workflow task has been completed")
	return ""
}
