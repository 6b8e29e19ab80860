package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workflows/runbook"
)

// Config says where Temporal is.
type Config struct {
	// Temporal is the server's address, TEMPORAL_ADDRESS; empty: no step is answered.
	Temporal string
	// Namespace is where the procedures live: TEMPORAL_NAMESPACE.
	Namespace string
	// Interceptors stand around every step; production has none.
	Interceptors []interceptor.WorkerInterceptor
}

// FromEnv reads Config from the environment.
func FromEnv() (Config, error) {
	c := Config{Temporal: process.String("TEMPORAL_ADDRESS", ""), Namespace: process.String("TEMPORAL_NAMESPACE", "ops")}
	if c.Temporal == "" {
		return c, nil
	}
	if _, port, err := net.SplitHostPort(c.Temporal); err != nil || port == "" {
		return c, fmt.Errorf("TEMPORAL_ADDRESS is %q: want a host and a port, for example temporal:7233; leave it empty to answer no control steps", c.Temporal)
	}
	return c, nil
}

const (
	dialMost = 10 * time.Second
	againMin = time.Second
	againMax = 30 * time.Second
	// watchEvery is how often a server that is polled is asked whether it is there.
	watchEvery = 15 * time.Second
	// stepsAtOnce bounds the steps at this replica; they wait more than they work.
	stepsAtOnce = 4
	// stopMost is how long a step may take to end at a stop; it is told to at once, and
	// another replica's attempt goes on with it.
	stopMost = 2 * time.Second
)

// Worker polls Temporal for steps.
type Worker struct {
	config   Config
	hand     Hand
	identity string
	log      *slog.Logger
	meters   *meters

	mu   sync.Mutex
	seen error // of the server, at the last look; nil: it answers
}

// NewWorker prepares a worker of a replica of that name; Run runs it.
func NewWorker(c Config, fleet Fleet, instance string, reg prometheus.Registerer, log *slog.Logger) *Worker {
	return &Worker{
		config: c, hand: Hand{fleet}, log: log, meters: newMeters(reg), seen: errors.New("not connected to " + c.Temporal),
		// Temporal's record names who acts by type and name.
		identity: "universal-orchestrator:" + instance,
	}
}

// Run polls until ctx ends, and begins anew whatever happens: nothing of it is worth the
// end of the process that it runs in.
func (w *Worker) Run(ctx context.Context) {
	wait := againMin
	for ctx.Err() == nil {
		if w.poll(ctx) {
			wait = againMin
		}
		again := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-again.C:
		}
		again.Stop()
		wait = min(2*wait, againMax)
	}
}

// poll connects and answers steps until ctx or the worker ends. It tells whether it polled.
func (w *Worker) poll(ctx context.Context) bool {
	limited, cancel := context.WithTimeout(ctx, dialMost)
	defer cancel()
	c, err := client.DialContext(limited, client.Options{
		HostPort: w.config.Temporal, Namespace: w.config.Namespace, Identity: w.identity, Logger: log.NewStructuredLogger(w.log),
	})
	if err != nil {
		w.see(ctx, err)
		return false
	}
	defer c.Close()
	over := make(chan error, 1)
	polls := worker.New(c, runbook.ControlAssignment, worker.Options{
		Identity: w.identity, DisableWorkflowWorker: true, DisableRegistrationAliasing: true,
		MaxConcurrentActivityTaskPollers: 1, MaxConcurrentActivityExecutionSize: stepsAtOnce,
		WorkerStopTimeout: stopMost, Interceptors: slices.Concat(w.config.Interceptors, []interceptor.WorkerInterceptor{w.meters}),
		OnFatalError: func(err error) {
			select {
			case over <- err:
			default:
			}
		},
	})
	w.hand.Bind(polls)
	if err := polls.Start(); err != nil {
		w.see(ctx, err)
		return false
	}
	w.watch(ctx, c, over)
	polls.Stop()
	return true
}

// watch looks whether the server is there until ctx or the worker ends.
func (w *Worker) watch(ctx context.Context, c client.Client, over <-chan error) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, dialMost)
		_, err := c.CheckHealth(limited, &client.CheckHealthRequest{})
		cancel()
		w.see(ctx, err)
		select {
		case <-ctx.Done():
			return
		case err := <-over:
			w.see(ctx, err)
			return
		case <-tick.C:
		}
	}
}

// see keeps what was seen of the server, and says each change once.
func (w *Worker) see(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	w.meters.connected(err == nil)
	w.mu.Lock()
	before := w.seen
	w.seen = err
	w.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		w.log.Warn("Temporal does not answer: control steps wait, everything else goes on", "temporal", w.config.Temporal, "error", err)
	case err == nil && before != nil:
		w.log.Info("control steps are answered", "temporal", w.config.Temporal, "namespace", w.config.Namespace, "queue", runbook.ControlAssignment)
	}
}

// Connected is the check that steps are polled for and their server answers, as of the last
// look: nobody who asks for this replica's health waits for Temporal.
func (w *Worker) Connected(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}
