package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// weekly is the longest that a run may take: three services of two replicas, each watched for 25 s, database and logs.
const weekly = 20 * time.Minute

// rolled are the services that a newer image must replace; all others must be left alone.
var rolled = []string{"universal-orchestrator", "communication-hub", "specialized-engines"}

// An operator who has nothing but a browser: opens the Temporal UI, fills the Start form with {}, watches, and finds the
// containers replaced.
func TestWeeklyMaintenanceFromTheTemporalUI(t *testing.T) {
	if os.Getenv("HIVE_E2E") != "1" {
		t.Skip("needs the whole stack and a browser: bring the stack up with `hive up`, then run `make e2e` (it sets HIVE_E2E=1)")
	}
	root, err := filepath.Abs(or(os.Getenv("HIVE_PROJECT_DIR"), "../.."))
	require.NoError(t, err)
	ui := strings.TrimSuffix(or(os.Getenv("HIVE_UI"), "http://127.0.0.1:8233"), "/")
	project := or(os.Getenv("HIVE_STACK"), "leanvibe")
	server := temporal{ui}
	ctx, cancel := context.WithTimeout(t.Context(), weekly)
	defer cancel()

	alive(ctx, t, ui)
	id := "weekly-maintenance"
	if found, e, err := server.describe(ctx, id); found {
		require.NoError(t, err)
		require.False(t, e.running(), "%s runs already: wait for it, or stop it with `hive abort %s`", id, id)
	}
	before := running(ctx, t, project)
	for _, service := range rolled {
		require.NotEmpty(t, before[service], "%s does not run: `hive up` first", service)
	}
	publish(ctx, t, root)

	b := openBrowser(t, filepath.Join(root, "out", "e2e"))
	run := start(ctx, b, server, ui, id)
	watch(b, ui, run)

	end := server.ended(ctx, t, run)
	page := ui + "/namespaces/ops/workflows/" + id + "/" + run.RunID
	b.open(page, `[data-testid="workflow-id-heading"]`)
	b.until("the end of the run", status("completed", "failed", "canceled", "terminated", "timed out"))
	b.until("the result", `/"outcome"|"failure"/.test(`+result+`)`)
	b.shoot("4-finished")
	require.Equal(t, "WORKFLOW_EXECUTION_STATUS_COMPLETED", end.Status, "see %s and out/e2e/4-finished.png", page)
	require.True(t, b.is(status("completed")), "the page says that the run completed")
	require.Contains(t, b.text(result), `"succeeded"`, "the page shows the outcome")
	judge(t, server.result(ctx, t, run))
	replaced(t, before, running(ctx, t, project))
}

// alive fails early, and with the way out, where no user interface answers.
func alive(ctx context.Context, t *testing.T, ui string) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ui+"/healthz", nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err, "no Temporal UI at %s: `hive up` first", ui)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode, "%s/healthz", ui)
}

// publish pushes a newer image of each service, as a release does: without one a run has nothing to replace.
func publish(ctx context.Context, t *testing.T, root string) {
	t.Helper()
	hive := exec.CommandContext(ctx, filepath.Join(root, "out", "bin", "hive"), "up", "--newer")
	hive.Dir = root
	said, err := hive.CombinedOutput()
	require.NoError(t, err, "hive up --newer: %s", said)
}

// start fills the Start form and answers the run that has begun.
func start(ctx context.Context, b *browser, server temporal, ui, id string) execution {
	b.t.Helper()
	const form = `a[href*="/workflows/start-workflow"]`
	b.open(ui+"/namespaces/ops/workflows", form)
	b.click(form)
	b.fill("#workflowId", id)
	b.fill("#taskQueue", "operations")
	b.fill("#workflowType", "WeeklyMaintenance")
	b.fillJSON("main", "{}")
	b.until("a worker on the queue", shows("Task Queue is Active"))
	b.shoot("1-start-form")
	b.click(`[data-testid="start-workflow-button"]`)
	b.until("the link to the run that has begun", `document.querySelector('a[href*="/workflows/`+id+`/"]')`)
	found, run, err := server.describe(ctx, id)
	require.NoError(b.t, err)
	require.True(b.t, found)
	require.Equal(b.t, "WeeklyMaintenance", run.Type)
	require.True(b.t, run.running(), "it has ended already: %s", run.Status)
	return run
}

// watch looks at the run while it goes on: its steps by their names, and what it says of itself.
func watch(b *browser, ui string, run execution) {
	b.t.Helper()
	page := ui + "/namespaces/ops/workflows/" + run.ID + "/" + run.RunID
	b.open(page, `[data-testid="workflow-id-heading"]`)
	b.until("the run at work", status("running"))
	b.until("its first locks and steps", `parseInt(document.querySelector('[data-testid="history-tab"]')?.innerText.replace(/\D/g, "") || "0") > 60`)
	b.shoot("2-running")
	b.open(page+"/user-metadata", `iframe[title="output"]`)
	details := `[...document.querySelectorAll('iframe[title="output"]')].map(f => f.contentDocument?.body?.innerText ?? "").join("\n")`
	b.until("what the run says of itself", `(`+details+`).trim().length > 40`)
	b.shoot("3-current-details")
}

// judge holds the result against what a run with a newer image must have done.
func judge(t *testing.T, r report) {
	t.Helper()
	require.Equal(t, "WeeklyMaintenance", r.Procedure)
	require.Equal(t, "succeeded", r.Outcome, r.Reason)
	require.NotEmpty(t, r.Steps)
	changed := false
	for _, s := range r.Steps {
		require.NotEqual(t, "failed", s.Outcome, "%s %s", s.Name, s.Target)
		changed = changed || s.Changed
	}
	require.True(t, changed, "a run that found newer images changes something")
}

// replaced asks the engine: every replica of the rolled services is another container, as many as before, and no
// container of any other service was touched.
func replaced(t *testing.T, before, after replicas) {
	t.Helper()
	for _, service := range rolled {
		require.Len(t, after[service], len(before[service]), service)
		for _, id := range before[service] {
			require.NotContains(t, after[service], id, "%s still runs its old container", service)
		}
		delete(before, service)
		delete(after, service)
	}
	for service := range before {
		require.ElementsMatch(t, before[service], after[service], "%s is no service that this procedure may touch", service)
	}
	require.Len(t, after, len(before))
}

// result is the text beside the run's input.
const result = `(document.querySelector('[data-testid="input-and-result"]')?.innerText ?? "")`

// status is the condition that the page's label says one of these of the run (in capitals, but only by its style).
func status(words ...string) string {
	list, _ := json.Marshal(words) // of texts: it cannot fail
	return `[...document.querySelectorAll('[data-testid="execution-status"]')].some(e => ` + string(list) + `.includes(e.textContent.trim().toLowerCase()))`
}

// shows is the condition that the page holds a text that can be seen.
func shows(text string) string { return `document.body.innerText.includes(` + quote(text) + `)` }

func or(value, fallback string) string {
	if value != "" {
		return value
	}
	return fallback
}
