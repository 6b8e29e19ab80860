package assignment

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	temporalclient "go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/api/client"
	"github.com/leanvibe/hive/tests/port"
	"github.com/leanvibe/hive/workers/assignment/control"
	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workflows/runbook"
)

const opsNamespace = "ops"

// temporalServer runs the platform's Temporal at a port until kill.
func temporalServer(t *testing.T, binary string, at int) (c temporalclient.Client, kill func()) {
	t.Helper()
	server := exec.Command(binary, "--data", filepath.Join(t.TempDir(), "temporal"), "--port", strconv.Itoa(at),
		"--ui-port", strconv.Itoa(port.Reserve(t)), "--metrics-port", strconv.Itoa(port.Reserve(t)))
	require.NoError(t, server.Start())
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = server.Wait() // killed
	}()
	kill = func() {
		_ = server.Process.Signal(syscall.SIGKILL)
		<-over
	}
	t.Cleanup(kill)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var err error
		if c, err = temporalclient.DialContext(ctx, temporalclient.Options{
			HostPort: fmt.Sprintf("127.0.0.1:%d", at), Namespace: opsNamespace, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
		}); err != nil {
			return false
		}
		if _, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: opsNamespace}); err != nil {
			c.Close()
		}
		return err == nil
	}, 2*patience, 200*time.Millisecond)
	return c, kill
}

// mute is a replica that dies when it has drained another one and before it has said so:
// the first attempt's answer never comes, and nothing is heard of it.
type mute struct {
	interceptor.WorkerInterceptorBase
	until  <-chan struct{}
	muted  *atomic.Bool
	drains *atomic.Int32 // attempts that were begun
}

func (m *mute) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	a := &muteActivity{mute: m}
	a.Next = next
	return a
}

type muteActivity struct {
	interceptor.ActivityInboundInterceptorBase
	mute *mute
}

func (a *muteActivity) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	out, err := a.Next.ExecuteActivity(ctx, in)
	if activity.GetInfo(ctx).ActivityType.Name != runbook.DrainReplica.Name {
		return out, err
	}
	a.mute.drains.Add(1)
	if a.mute.muted.CompareAndSwap(false, true) {
		<-a.mute.until
	}
	return out, err
}

// A step comes from a real Temporal to whichever replica polls. Replicas start and serve
// while it is away, before and after; one that dies with a step leaves it to another, which
// finds it done.
func TestControl_Temporal(t *testing.T) {
	binary := os.Getenv("HIVE_TEMPORAL_BINARY")
	if binary == "" {
		t.Skip("HIVE_TEMPORAL_BINARY names no server: cd deploy/temporal && go build -o /tmp/hive-temporal .")
	}
	at := port.Reserve(t)
	over := make(chan struct{})
	m := &mute{until: over, muted: &atomic.Bool{}, drains: &atomic.Int32{}}
	w := newWorld(t, away)
	ask := func(_ *process.Config, c *Config) {
		c.Control = control.Config{
			Temporal: fmt.Sprintf("127.0.0.1:%d", at), Namespace: opsNamespace, Interceptors: []interceptor.WorkerInterceptor{m},
		}
	}
	one, two, three := w.start("one", ask).ready(t), w.start("two", ask).ready(t), w.start("three", ask).ready(t)
	t.Cleanup(func() { close(over) }) // before the replicas are stopped
	var lb balancer
	lb.set(one, two, three)
	calls := client.New("http://proxy", &http.Client{Transport: &lb})
	for i := range 3 {
		runAgent(t, calls, client.AgentConfig{ID: fmt.Sprint("agent", i), Capacity: 4, Capabilities: []string{"echo"}, Handle: echo})
	}
	l := begin(t.Context(), calls)

	c, kill := temporalServer(t, binary, at)
	defer c.Close()
	runs := worker.New(c, "test", worker.Options{})
	runs.RegisterWorkflowWithOptions(roll, workflow.RegisterOptions{Name: "roll"})
	require.NoError(t, runs.Start())
	defer runs.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	run, err := c.ExecuteWorkflow(ctx, temporalclient.StartWorkflowOptions{ID: "roll", TaskQueue: "test"}, "roll", "two")
	require.NoError(t, err)
	var got rolled
	require.NoError(t, run.Get(ctx, &got))
	require.EqualValues(t, 2, m.drains.Load(), "the second attempt has answered")
	require.True(t, got.Drained.Met)
	require.True(t, got.Drained.Draining)
	require.False(t, got.Drained.Changed, "the first attempt has drained it")
	require.True(t, got.Snapshots.DidChange())
	require.False(t, owns(got.Aside.After, "two"))
	require.True(t, got.Resumed.Changed)
	require.True(t, owns(got.Level.After, "two"))
	require.Equal(t, http.StatusOK, two.readiness(t))

	runs.Stop()
	kill()
	for _, r := range []*replica{one, two, three} {
		require.Equal(t, http.StatusOK, r.readiness(t), "Temporal is behind the path")
	}
	l.end(t)
}

// rolled is what the steps have answered.
type rolled struct {
	Drained, Resumed runbook.ReplicaStanding
	Snapshots        runbook.PartitionSnapshots
	Aside, Level     runbook.Placement
}

// roll does each step once, as a procedure does.
func roll(ctx workflow.Context, replica string) (out rolled, err error) {
	if out.Snapshots, err = runbook.SnapshotPartitions.Run(ctx, runbook.SnapshotInput{Fence: fenceOf(1)}); err != nil {
		return out, err
	}
	if out.Drained, err = runbook.DrainReplica.Run(ctx, orders(1, replica)); err != nil {
		return out, err
	}
	if out.Aside, err = runbook.RebalancePartitions.Run(ctx, runbook.RebalanceInput{Fence: fenceOf(1)}); err != nil {
		return out, err
	}
	if out.Resumed, err = runbook.ResumeReplica.Run(ctx, orders(1, replica)); err != nil {
		return out, err
	}
	out.Level, err = runbook.RebalancePartitions.Run(ctx, runbook.RebalanceInput{Fence: fenceOf(1)})
	return out, err
}
