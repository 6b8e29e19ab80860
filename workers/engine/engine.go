package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"

	"github.com/leanvibe/hive/api/client"
	"github.com/leanvibe/hive/workers/process"
)

// Engine hosts agents.
type Engine struct {
	agents   []*client.Agent
	handlers Handlers
	metrics  *metrics
	taken    atomic.Uint64
	drained  atomic.Bool
	stop     context.CancelFunc
	stopped  chan struct{}
}

// New prepares an engine; the agents are named <instance>-<n>.
func New(cfg Config, handlers Handlers, p *process.Process) *Engine {
	e := &Engine{handlers: handlers, stopped: make(chan struct{})}
	e.metrics = newMetrics(p.Registry(), e)
	c := client.New(cfg.ProxyURL, nil, client.WithToken(cfg.Token))
	for i := range cfg.Agents {
		e.agents = append(e.agents, c.NewAgent(client.AgentConfig{
			ID:           fmt.Sprintf("%s-%d", p.Config().Instance, i+1),
			Capabilities: cfg.Capabilities, Capacity: cfg.Capacity,
			Labels: map[string]string{"service": p.Config().Service, "version": p.Config().Version},
			Handle: e.handle, Grace: cfg.Grace, Log: p.Log,
			Taken: func() { e.taken.Add(1); e.metrics.taken.Inc() },
			Done:  e.metrics.ended,
		}))
	}
	return e
}

// handle runs the handler that the task names.
func (e *Engine) handle(ctx context.Context, as *hivev1.Assignment) ([]byte, error) {
	run, ok := e.handlers[as.GetHandler()]
	if !ok {
		return nil, client.Final(fmt.Errorf("no handler %q in this engine", as.GetHandler()))
	}
	defer e.metrics.time(as.GetHandler())()
	return run(ctx, as.GetPayload())
}

// Run hosts the agents until Stop or ctx's end.
func (e *Engine) Run(ctx context.Context, started chan<- struct{}) error {
	ctx, e.stop = context.WithCancel(ctx)
	defer e.stop()
	close(started)
	defer close(e.stopped)
	errs := make([]error, len(e.agents))
	var wg sync.WaitGroup
	for i, a := range e.agents {
		wg.Go(func() {
			errs[i] = a.Run(ctx)
			if errs[i] != nil {
				e.stop() // one refused agent: the configuration is wrong for all
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Status is the engine at one instant.
type Status struct {
	Draining   bool   `json:"draining"`
	Agents     int    `json:"agents"`
	Attached   int    `json:"attached"`
	InFlight   int    `json:"in_flight"`
	TasksTaken uint64 `json:"tasks_taken"`
}

// Status answers how the engine stands.
func (e *Engine) Status() Status {
	s := Status{Draining: e.drained.Load(), Agents: len(e.agents), TasksTaken: e.taken.Load()}
	for _, a := range e.agents {
		st := a.Status()
		s.InFlight += st.InFlight
		if st.Attached {
			s.Attached++
		}
	}
	return s
}

// Drain takes no more tasks; what is in flight goes on. Safe to repeat.
func (e *Engine) Drain() {
	e.drained.Store(true)
	for _, a := range e.agents {
		a.Pause()
	}
}

// Resume takes tasks again. Safe to repeat.
func (e *Engine) Resume() {
	e.drained.Store(false)
	for _, a := range e.agents {
		a.Resume()
	}
}

// ready answers nil when the engine works or was told not to.
func (e *Engine) ready(context.Context) error {
	if s := e.Status(); s.Attached == 0 && !s.Draining {
		return fmt.Errorf("none of %d agents is attached to an orchestrator", s.Agents)
	}
	return nil
}

// registerControl serves the control endpoints.
func (e *Engine) registerControl(p *process.Process, log *slog.Logger) {
	answer := func(act func()) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if act != nil {
				act()
				log.Info("control", "path", r.URL.Path)
			}
			process.WriteJSON(w, http.StatusOK, e.Status())
		})
	}
	p.Handle("POST /control/drain", answer(e.Drain))
	p.Handle("POST /control/resume", answer(e.Resume))
	p.Handle("GET /control/status", answer(nil))
}
