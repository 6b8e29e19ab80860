package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const queue = "test"

// holder starts a child, as a procedure takes a lock, and waits for a signal to let it go.
func holder(ctx workflow.Context) (string, error) {
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: "lock:test"}), lock)
	if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return "", err
	}
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	return "done", child.SignalChildWorkflow(ctx, "go", nil).Get(ctx, nil)
}

func lock(ctx workflow.Context) error {
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	return nil
}

func work(t *testing.T, c client.Client) {
	t.Helper()
	w := worker.New(c, queue, worker.Options{Identity: "opsworker"})
	w.RegisterWorkflowWithOptions(holder, workflow.RegisterOptions{Name: "Holder"})
	w.RegisterWorkflowWithOptions(lock, workflow.RegisterOptions{Name: "Lock"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
}

// principals reads who caused each event of the given type.
func principals(t *testing.T, c client.Client, id string, kind enums.EventType) []string {
	t.Helper()
	var who []string
	events := c.GetWorkflowHistory(context.Background(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		if event.GetEventType() == kind {
			who = append(who, name(event.GetPrincipal()))
		}
	}
	return who
}

func name(p *commonpb.Principal) string { return p.GetType() + ":" + p.GetName() }

func TestFirstBootMakesNamespaceAndAttributes(t *testing.T) {
	p := boot(t, t.TempDir(), "--retention", "48h")
	c := p.client("")
	ctx := context.Background()
	ns, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "ops"})
	require.NoError(t, err)
	require.Equal(t, 48*time.Hour, ns.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration())
	listed, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: "ops"})
	require.NoError(t, err)
	for attribute, kind := range attributes {
		require.Equal(t, kind, listed.GetCustomAttributes()[attribute], attribute)
	}
	require.LessOrEqual(t, p.rss(), int64(300<<20), "resident memory at rest")
	require.NoError(t, p.stop(syscall.SIGTERM), "SIGTERM ends it with status 0:\n%s", &p.log)
}

func TestSecondBootAddsAttributesAndKeepsRunsThroughAKill(t *testing.T) {
	data := t.TempDir()
	p := boot(t, data)
	ctx := context.Background()
	_, err := p.client("hive:alice").ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "survivor", TaskQueue: queue,
		TypedSearchAttributes: temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyKeyword("OpsRunbook").ValueSet("Holder"))}, "Holder")
	require.NoError(t, err)
	require.Error(t, p.stop(syscall.SIGKILL))

	again := boot(t, data, "--search-attribute", "OpsTicket=Keyword", "--retention", "72h")
	c := again.client("hive:bob")
	ns, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "ops"})
	require.NoError(t, err)
	require.Equal(t, 72*time.Hour, ns.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration())
	// On a queue without workers: two Holders want one lock, and which one a worker takes first is chance.
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "with-ticket", TaskQueue: "nobody's",
		TypedSearchAttributes: temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyKeyword("OpsTicket").ValueSet("T-1"))}, "Holder")
	require.NoError(t, err, "an attribute of the second boot can be used at once")
	require.Eventually(t, func() bool {
		found, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: `OpsRunbook="Holder" OR OpsTicket="T-1"`})
		return err == nil && found.GetCount() == 2
	}, patience, 50*time.Millisecond, "both runs are listed by their attributes")

	work(t, c)
	require.NoError(t, c.SignalWorkflow(ctx, "survivor", "", "go", nil))
	var result string
	require.NoError(t, c.GetWorkflow(ctx, "survivor", "").Get(ctx, &result))
	require.Equal(t, "done", result)
	require.Equal(t, []string{"hive:alice"}, principals(t, c, "survivor", enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED))
	require.Equal(t, []string{"hive:bob"}, principals(t, c, "survivor", enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED))
	require.Equal(t, []string{"opsworker:opsworker"}, principals(t, c, "survivor", enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED))
}

func TestAStartFromTheBrowserIsRecordedAsSuch(t *testing.T) {
	p := boot(t, t.TempDir())
	c := p.client("")
	ctx := context.Background()
	require.Equal(t, http.StatusOK, p.startFromBrowser("from-browser"))
	require.Equal(t, []string{"ui:browser"}, principals(t, c, "from-browser", enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED))

	_, err := p.client("ui:browser").ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "pretender", TaskQueue: queue}, "Holder")
	require.NoError(t, err)
	require.Equal(t, []string{"client:ui:browser"}, principals(t, c, "pretender", enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED))
}

// startFromBrowser does what the user interface's Start form does: the page for its cookie, then the call.
func (p *process) startFromBrowser(id string) int {
	p.t.Helper()
	page, err := http.Get(p.page("/"))
	require.NoError(p.t, err)
	require.NoError(p.t, page.Body.Close())
	body := `{"workflowType":{"name":"Holder"},"taskQueue":{"name":"` + queue + `"},"requestId":"1"}`
	request, err := http.NewRequest(http.MethodPost, p.page("/api/v1/namespaces/ops/workflows/"+id), strings.NewReader(body))
	require.NoError(p.t, err)
	for _, cookie := range page.Cookies() {
		request.AddCookie(cookie)
		request.Header.Set("X-CSRF-Token", cookie.Value)
	}
	answer, err := http.DefaultClient.Do(request)
	require.NoError(p.t, err)
	defer func() { require.NoError(p.t, answer.Body.Close()) }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(p.t, err)
	p.t.Logf("%s: %s", answer.Status, text)
	return answer.StatusCode
}

func TestAResetThatWouldLeakALockIsRefused(t *testing.T) {
	p := boot(t, t.TempDir())
	c := p.client("hive:alice")
	ctx := context.Background()
	work(t, c)
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "holder", TaskQueue: queue}, "Holder")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		lock, err := c.DescribeWorkflowExecution(ctx, "lock:test", "")
		return err == nil && lock.GetWorkflowExecutionInfo().GetParentExecution().GetRunId() == run.GetRunID() && completedTasks(t, c, "holder") >= 2
	}, patience, 50*time.Millisecond, "the parent holds its lock")

	last := lastCompletedTask(t, c, "holder")
	_, err = c.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: "ops", WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "holder", RunId: run.GetRunID()},
		Reason: "test", WorkflowTaskFinishEventId: last, RequestId: "reset-1",
	})
	require.ErrorContains(t, err, "child")
	parent, err := c.DescribeWorkflowExecution(ctx, "holder", "")
	require.NoError(t, err)
	require.Equal(t, run.GetRunID(), parent.GetWorkflowExecutionInfo().GetExecution().GetRunId(), "the run goes on untouched")
}

func completedTasks(t *testing.T, c client.Client, id string) int {
	return len(principals(t, c, id, enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED))
}

func lastCompletedTask(t *testing.T, c client.Client, id string) (last int64) {
	t.Helper()
	events := c.GetWorkflowHistory(context.Background(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		if event.GetEventType() == enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			last = event.GetEventId()
		}
	}
	return last
}
