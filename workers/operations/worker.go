// Package operations is opsworker: the Temporal worker that runs every procedure
// and holds every hand, and so the one process that changes anything in the stack.
//
//	contents.go     which procedure, which step, which hand
//	gate.go         one act at a time per resource, under the newest lock alone
//	interceptor.go  what stands around every act: the gate, its time, its failure
//	metrics.go      what each container of the stack uses
//	gateway.go      our metrics where the stack's Prometheus can reach them
//	reconcile.go    the proxy's addresses kept to what runs, outside of runs
package operations

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/client"
	temporalclient "go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/activities/ledger"
	"github.com/leanvibe/hive/workers/operations/recording"
	"github.com/leanvibe/hive/workers/operations/schedules"
	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// stickyRuns is how many runs stay in memory between two of their tasks; one
	// that does not is replayed. A quiet worker shall stay below 60 MB.
	stickyRuns = 64
	// actsAtOnce bounds the acts in flight; most of them wait for something.
	actsAtOnce = 64
	// stopAfter is how long acts in flight may take to end at a stop; what has not
	// ended then is told to, and is found and finished by its retry.
	stopAfter = 20 * time.Second
	// beatThrottle: cancellation reaches an act with its next heartbeat sent.
	beatThrottle = 500 * time.Millisecond

	dialMin = time.Second
	dialMax = 15 * time.Second
)

// Listen is where metrics and health are served, besides the gateway of the stack's
// network.
const Listen = "127.0.0.1:9464"

// Help explains the process to who starts it by hand.
const Help = `opsworker runs the procedures of Agent Hive Operations: it polls Temporal, and it alone holds the container engine.

  opsworker              run until SIGTERM; acts in flight get 20 s to end
  opsworker healthcheck  exit 0 when the running opsworker is connected and polls
  opsworker version      print the version

  HIVE_PROJECT_DIR    absolute path of the project, the same as on the host (required)
  TEMPORAL_ADDRESS    Temporal's gRPC address (default 127.0.0.1:7233)
  TEMPORAL_NAMESPACE  namespace of the procedures (default ops)
  HIVE_LEDGER_ADDRESS the ledger's database (default 127.0.0.1:5433)
  DOCKER_HOST         the container engine (default: the local socket)
  HIVE_LISTEN         /metrics, /healthz, /readyz (default ` + Listen + `);
                      the same port of the stack's gateway serves them to the stack's Prometheus
  HIVE_INSTANCE       name of this instance (default: the host's name)
  HIVE_LOG_DIR        directory of daily log files besides stdout (default: none)
`

// Config is what opsworker is told from outside.
type Config struct {
	// ProjectDir is the absolute project root: HIVE_PROJECT_DIR.
	ProjectDir string
	// Temporal is the server's address: TEMPORAL_ADDRESS.
	Temporal string
	// Namespace is where the procedures live: TEMPORAL_NAMESPACE.
	Namespace string
	// Ledger is the address of the ledger's database, as ledger.Config takes it:
	// HIVE_LEDGER_ADDRESS.
	Ledger string
	// Interceptors stand outside of opsworker's own; production has none.
	Interceptors []interceptor.WorkerInterceptor
}

// FromEnv reads Config from the environment.
func FromEnv() (Config, error) {
	cfg := Config{
		ProjectDir: process.String("HIVE_PROJECT_DIR", ""),
		Temporal:   process.String("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
		Namespace:  process.String("TEMPORAL_NAMESPACE", "ops"),
		Ledger:     process.String("HIVE_LEDGER_ADDRESS", ledger.Address),
	}
	if !filepath.IsAbs(cfg.ProjectDir) {
		return cfg, fmt.Errorf("HIVE_PROJECT_DIR: %q is not the absolute path of the project; write for example /srv/hive", cfg.ProjectDir)
	}
	return cfg, nil
}

// Setup fills the process with opsworker, as the environment says.
func Setup(ctx context.Context, p *process.Process) error {
	cfg, err := FromEnv()
	if err != nil {
		return err
	}
	return cfg.Setup(ctx, p)
}

// Setup fills the process with opsworker.
func (c Config) Setup(_ context.Context, p *process.Process) error {
	engine, err := docker.Open()
	if err != nil {
		return err
	}
	worker.SetStickyWorkflowCacheSize(stickyRuns)
	_, port, err := net.SplitHostPort(p.Config().Listen)
	if err != nil {
		return fmt.Errorf("HIVE_LISTEN %q: %w", p.Config().Listen, err)
	}
	local := assemble(c.ProjectDir, engine, nil, nil)
	s := &site{hand: local.policy}

	containers := newUsage(s.name, local.docker.Measure, p.Log)
	p.Registry().MustRegister(containers)
	p.Go("container metrics", containers.run)
	p.Go("gateway", gateway{local: p.Addr, log: p.Log, address: func(ctx context.Context) (string, error) {
		return s.gateway(ctx, port)
	}}.run)

	book, err := ledger.Open(ledger.Config{ProjectDir: c.ProjectDir, Address: c.Ledger, Log: p.Log})
	if err != nil {
		return err
	}
	p.Go("ledger", book.Run)

	g := newGate()
	o := &ops{
		config: c, engine: engine, site: s, gate: g, steps: newSteps(p.Registry(), g), book: book, log: p.Log,
		identity: "opsworker@" + p.Config().Instance, drain: make(chan struct{}), stopped: make(chan struct{}),
	}
	o.recording = recording.New(recording.Config{
		Recorder: recording.Measure(p.Registry(), book), Effect: o.steps.effect, Worker: o.identity,
	})
	p.Go("worker", o.run)
	p.OnDrain(func(ctx context.Context) {
		close(o.drain)
		select {
		case <-o.stopped:
		case <-ctx.Done():
		}
	})
	p.AddCheck(process.Check{Name: "temporal", Required: true, Probe: o.polling})
	p.AddCheck(process.Check{Name: "engine", Probe: func(ctx context.Context) error {
		_, err := engine.Ping(ctx)
		return err
	}})
	// With the ledger away acts are kept on disk, and go on.
	p.AddCheck(process.Check{Name: "ledger", Probe: func(context.Context) error { return book.Away() }})
	return nil
}

// ops is the worker and what it stands on.
type ops struct {
	config Config
	engine client.APIClient
	site   *site
	gate   *gate
	steps  *steps
	book   *ledger.Book
	// recording has every act that passed the gate put on the ledger.
	recording interceptor.WorkerInterceptor
	log       *slog.Logger
	identity  string

	server  serving
	drain   chan struct{}
	stopped chan struct{}
}

// run connects, works until the drain, and stops. Only what no waiting mends is an
// error: it ends the process, which its engine starts again.
func (o *ops) run(ctx context.Context) error {
	defer close(o.stopped)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-o.drain:
			cancel()
		case <-ctx.Done():
		}
	}()
	fatal := make(chan error, 1)
	c, w := o.connect(ctx, fatal)
	if w == nil {
		return nil
	}
	defer c.Close()
	o.log.Info("working", "temporal", o.config.Temporal, "namespace", o.config.Namespace, "queue", runbook.TaskQueue)

	h := assemble(o.config.ProjectDir, o.engine, c, o.book)
	r := &reconciler{
		site: o.site, engine: o.engine, gate: o.gate, log: o.log, lock: takeProxyLock(c),
		census: h.docker.TakeCensus, observe: h.proxy.Observe, reconcile: h.proxy.Reconcile,
	}
	var beside sync.WaitGroup
	beside.Go(func() { r.run(ctx) })
	beside.Go(func() { o.keepSchedules(ctx, c, h) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-fatal:
	}
	o.server.set(nil)
	cancel()
	w.Stop()
	beside.Wait()
	return err
}

// keepSchedules keeps Temporal's schedules to the policy's until the context ends.
func (o *ops) keepSchedules(ctx context.Context, c temporalclient.Client, h hands) {
	k := schedules.Keeper{
		Temporal: c, Procedures: Scheduled(), ProjectDir: o.config.ProjectDir, Log: o.log,
		Policy: func(context.Context) (runbook.Policy, error) { return h.policy.Policy() },
	}
	if err := k.Run(ctx); err != nil {
		o.log.Error("nobody keeps the schedules any more", "error", err)
	}
}

// connect tries until a worker polls or the context ends.
func (o *ops) connect(ctx context.Context, fatal chan<- error) (temporalclient.Client, worker.Worker) {
	said, wait := "", dialMin
	for {
		c, w, err := o.start(ctx, fatal)
		if err == nil {
			return c, w
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		said = sayOnce(o.log, said, "Temporal at "+o.config.Temporal+" cannot be worked for", err)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, nil
		case <-timer.C:
		}
		wait = min(2*wait, dialMax)
	}
}

// start connects and begins to poll.
func (o *ops) start(ctx context.Context, fatal chan<- error) (temporalclient.Client, worker.Worker, error) {
	c, err := temporalclient.DialContext(ctx, temporalclient.Options{
		HostPort: o.config.Temporal, Namespace: o.config.Namespace, Identity: o.identity,
		Logger: log.NewStructuredLogger(o.log),
	})
	if err != nil {
		return nil, nil, err
	}
	w := worker.New(c, runbook.TaskQueue, worker.Options{
		Identity:                               o.identity,
		MaxConcurrentActivityExecutionSize:     actsAtOnce,
		MaxConcurrentWorkflowTaskExecutionSize: 8,
		MaxConcurrentWorkflowTaskPollers:       2,
		MaxConcurrentActivityTaskPollers:       2,
		DisableRegistrationAliasing:            true,
		MaxHeartbeatThrottleInterval:           beatThrottle,
		DefaultHeartbeatThrottleInterval:       beatThrottle,
		WorkerStopTimeout:                      stopAfter,
		Interceptors:                           slices.Concat(o.config.Interceptors, []interceptor.WorkerInterceptor{o.steps, o.recording}),
		OnFatalError: func(err error) {
			select {
			case fatal <- err:
			default:
			}
		},
	})
	bind(w, o.steps, assemble(o.config.ProjectDir, o.engine, c, o.book))
	if err := w.Start(); err != nil {
		c.Close()
		return nil, nil, err
	}
	o.server.set(c)
	return c, w, nil
}
