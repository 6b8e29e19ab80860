package client

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"connectrpc.com/connect"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// Handler executes one task and answers its result. Its context ends when the
// lease is lost or the agent's grace is over; the result is then worth nothing.
type Handler func(context.Context, *hivev1.Assignment) ([]byte, error)

// finalError is a failure that no retry can mend.
type finalError struct{ error }

// Unwrap answers the cause.
func (e finalError) Unwrap() error { return e.error }

// Final marks a handler's error as one that no retry can mend: the task goes to
// the dead letters at once.
func Final(err error) error { return finalError{err} }

// AgentConfig describes an agent.
type AgentConfig struct {
	ID           string
	Capabilities []string
	// Capacity is how many tasks it executes at a time.
	Capacity int
	Labels   map[string]string
	Handle   Handler
	// Grace is how long Run lets executions finish after its context ended.
	Grace time.Duration
	Log   *slog.Logger
	// Taken and Done, when set, are called as an execution begins and ends.
	Taken func()
	Done  func(err error)
}

// Agent takes tasks from the orchestrator and executes them. It attaches again
// whenever its stream ends, on whichever replica answers, and goes on with what
// it holds.
type Agent struct {
	cfg AgentConfig
	rpc *Client

	mu      sync.Mutex
	paused  bool
	changed chan struct{} // closed and renewed when paused changes
	session string        // of the attached stream; empty: none
	held    map[string]*execution
	lease   time.Duration
	work    sync.WaitGroup
}

// NewAgent prepares an agent; Run runs it.
func (c *Client) NewAgent(cfg AgentConfig) *Agent {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	cfg.Log = cfg.Log.With("agent", cfg.ID)
	a := &Agent{cfg: cfg, rpc: c, changed: make(chan struct{}), held: map[string]*execution{}, lease: defaultLease}
	return a
}

// defaultLease is assumed until the server has said its own.
const defaultLease = 10 * time.Second

// AgentStatus is an agent at one instant.
type AgentStatus struct {
	Attached bool
	Paused   bool
	InFlight int
}

// Status answers how the agent stands.
func (a *Agent) Status() AgentStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	return AgentStatus{Attached: a.session != "", Paused: a.paused, InFlight: len(a.held)}
}

// Pause takes no more tasks; what is in flight goes on. Safe to repeat.
func (a *Agent) Pause() { a.setPaused(true) }

// Resume takes tasks again. Safe to repeat.
func (a *Agent) Resume() { a.setPaused(false) }

func (a *Agent) setPaused(paused bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.paused != paused {
		a.paused = paused
		close(a.changed)
		a.changed = make(chan struct{})
	}
}

// Run takes and executes tasks until ctx ends. Then it takes no more, lets what
// is in flight finish for at most Grace, gives the rest back and returns nil; an
// error means that the server will never accept this agent.
func (a *Agent) Run(ctx context.Context) error {
	// Calls go on past ctx: leases are renewed and results reported to the end.
	calls, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var loops sync.WaitGroup
	loops.Go(func() { a.heartbeats(calls) })

	err := a.attachLoop(ctx, calls)
	a.finish()
	stop()
	loops.Wait()
	return err
}

// finish waits for executions within the grace and gives back what is left.
func (a *Agent) finish() {
	over := time.AfterFunc(a.cfg.Grace, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, e := range a.held {
			e.cancel(ErrGraceOver)
		}
	})
	defer over.Stop()
	a.work.Wait()
}

// Ends of an execution that are not the handler's own.
var (
	// ErrGraceOver: the agent stops, and the task was given back.
	ErrGraceOver = errors.New("the agent stops")
	// ErrLost: the agent does not hold the task any more; its result is worth nothing.
	ErrLost = errors.New("the agent does not hold the task any more")
)

// heartbeats renews the leases three times a term.
func (a *Agent) heartbeats(ctx context.Context) {
	for {
		a.mu.Lock()
		pause := a.lease / 3
		a.mu.Unlock()
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		a.heartbeat(ctx, pause)
	}
}

func (a *Agent) heartbeat(ctx context.Context, within time.Duration) {
	limit, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	r, err := call(limit, a.rpc.rpc.Heartbeat, &hivev1.HeartbeatRequest{AgentId: a.cfg.ID, Held: a.executions()})
	if err != nil {
		if ctx.Err() == nil {
			a.cfg.Log.Warn("heartbeat failed", "error", err)
		}
		return
	}
	a.drop(r.GetLost())
}

// executions are what the agent holds.
func (a *Agent) executions() []*hivev1.Execution {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]*hivev1.Execution, 0, len(a.held))
	for _, e := range a.held {
		list = append(list, e.assignment.GetExecution())
	}
	return list
}

// drop stops what the agent does not hold any more.
func (a *Agent) drop(lost []*hivev1.Execution) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range lost {
		if e := a.held[l.GetTaskId()]; e != nil && e.assignment.GetExecution().GetAttempt() == l.GetAttempt() {
			e.cancel(ErrLost)
		}
	}
}

// isFinal tells whether the server refused the agent itself.
func isFinal(err error) bool {
	code := connect.CodeOf(err)
	return err != nil && (code == connect.CodeInvalidArgument || code == connect.CodeUnauthenticated || code == connect.CodePermissionDenied)
}
