package schedules

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/activities/notify"
	"github.com/leanvibe/hive/workers/operations/schedules"
	"github.com/leanvibe/hive/workflows/health"
	"github.com/leanvibe/hive/workflows/runbook"
	"github.com/leanvibe/hive/workflows/schedule"
)

// platform is a Temporal server and the part of opsworker that schedules need. Both
// can be away.
type platform struct {
	t       *testing.T
	binary  string
	dir     string
	ports   []string
	server  *exec.Cmd
	ended   <-chan struct{}
	client  client.Client
	mu      sync.Mutex
	policy  runbook.Policy
	runs    map[string]int // of the procedure, by workflow ID
	dismiss func()
}

func start(t *testing.T) *platform {
	t.Helper()
	binary := os.Getenv("HIVE_TEMPORAL_BINARY")
	if binary == "" {
		t.Skip("HIVE_TEMPORAL_BINARY names no server: cd deploy/temporal && go build -o /tmp/hive-temporal .")
	}
	t.Parallel()
	p := &platform{t: t, binary: binary, dir: t.TempDir(), runs: map[string]int{}, dismiss: func() {}}
	p.choosePorts()
	p.serve()
	t.Cleanup(func() { p.dismiss(); p.kill() })
	return p
}

// choosePorts finds three that are free now; somebody else may still be faster.
func (p *platform) choosePorts() {
	p.ports = nil
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(p.t, err)
		p.ports = append(p.ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
		require.NoError(p.t, l.Close())
	}
}

// launch starts the server on its data. The channel closes when it has ended.
func (p *platform) launch() <-chan struct{} {
	server := exec.Command(p.binary, "--data", filepath.Join(p.dir, "temporal"),
		"--port", p.ports[0], "--ui-port", p.ports[1], "--metrics-port", p.ports[2])
	require.NoError(p.t, server.Start())
	ended := make(chan struct{})
	go func() {
		_ = server.Wait() // killed, mostly
		close(ended)
	}()
	p.server, p.ended = server, ended
	return ended
}

// serve starts the server and connects. Four of them start side by side here, each with ports that it found free: one
// that another test was faster to take ends a server, and it is started again with others.
func (p *platform) serve() {
	ended := p.launch()
	require.Eventually(p.t, func() bool {
		select {
		case <-ended:
			p.choosePorts()
			ended = p.launch()
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		c, err := client.DialContext(ctx, client.Options{
			HostPort: "127.0.0.1:" + p.ports[0], Namespace: "ops", Logger: sdklog.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil))),
		})
		if err != nil {
			return false
		}
		if _, err := c.WorkflowService().DescribeNamespace(ctx, describeOps()); err != nil {
			c.Close()
			return false
		}
		p.client = c
		return true
	}, time.Minute, 200*time.Millisecond)
}

// kill ends the server as a power cut does.
func (p *platform) kill() {
	if p.server == nil {
		return
	}
	p.client.Close()
	_ = p.server.Process.Signal(syscall.SIGKILL)
	<-p.ended
	p.server = nil
}

var opsOutcome = temporal.NewSearchAttributeKeyKeyword("OpsOutcome")

// employ starts a worker and a keeper, as opsworker does.
func (p *platform) employ() {
	w := worker.New(p.client, runbook.TaskQueue, worker.Options{WorkerStopTimeout: time.Second, DisableRegistrationAliasing: true})
	schedule.ScheduledRun.Bind(w, schedule.RunScheduledRun)
	schedule.MissedRun.Bind(w, schedule.RunMissedRun)
	health.ReadinessCheck.Bind(w, func(ctx workflow.Context, in health.ReadinessCheckInput) (runbook.Report, error) {
		id := workflow.GetInfo(ctx).WorkflowExecution.ID
		if !workflow.IsReplaying(ctx) {
			p.mu.Lock()
			p.runs[id+" by "+in.Trigger]++
			p.mu.Unlock()
		}
		return runbook.Report{Procedure: "ReadinessCheck", Run: id, Outcome: runbook.Succeeded},
			workflow.UpsertTypedSearchAttributes(ctx, opsOutcome.ValueSet(string(runbook.Succeeded)))
	})
	runbook.SendNotice.Bind(w, notify.Hand{ProjectDir: p.dir}.Send)
	require.NoError(p.t, w.Start())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.keeper().Run(ctx)
	}()
	p.dismiss = sync.OnceFunc(func() { cancel(); <-ended; w.Stop() })
}

var known = []schedules.Procedure{schedules.Of(health.ReadinessCheck)}

func (p *platform) keeper() schedules.Keeper {
	return schedules.Keeper{
		Temporal: p.client, Procedures: known, ProjectDir: p.dir, Log: slog.New(slog.NewTextHandler(logTo{p.t}, nil)),
		Policy: func(context.Context) (runbook.Policy, error) { return p.policy, nil },
	}
}

type logTo struct{ t *testing.T }

func (l logTo) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// notices are the lines of the file that always hears.
func (p *platform) notices() []string {
	raw, err := os.ReadFile(filepath.Join(p.dir, "out/notifications.log"))
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(p.t, err)
	return strings.Split(strings.TrimSpace(string(raw)), "\n")
}

func (p *platform) ran() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]int{}
	for k, v := range p.runs {
		out[k] = v
	}
	return out
}

// soon is a daily schedule whose next date is due in one to two minutes.
func soon(id string) (runbook.SchedulePolicy, time.Time) {
	zone, _ := time.LoadLocation("America/Los_Angeles")
	at := time.Now().In(zone).Add(2 * time.Minute).Truncate(time.Minute)
	return runbook.SchedulePolicy{
		ID: id, Procedure: "ReadinessCheck", Every: "day", At: at.Format("15:04"), Timezone: zone.String(),
		CatchUp: runbook.Duration(time.Minute),
	}, at
}

// at waits for a moment of the server's own clock.
func (p *platform) at(moment time.Time) {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.t.Context().Done():
	}
}
