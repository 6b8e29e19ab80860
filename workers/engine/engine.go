package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// Engine hosts agents.
type Engine struct {
	fleet   *client.Fleet // all agents, on one stream
	agents  []string      // their ids
	streams string        // where they attach
	hub     *hubSender    // nil: no group sends progress
	metrics *metrics
	closers []func()
	taken   atomic.Uint64
	drained atomic.Bool
	refused chan error // the first agent's that the orchestrator will never accept
	stop    context.CancelFunc
	stopped chan struct{}
}

// New prepares an engine: it fills in defaults and refuses, with every reason at
// once, what cannot work. Nothing is dialled before Run.
func New(cfg Config, options ...Option) (*Engine, error) {
	s, err := apply(options)
	if err != nil {
		return nil, err
	}
	if err := cfg.complete(s.own); err != nil {
		return nil, err
	}
	e := &Engine{streams: cfg.Streams, refused: make(chan error, 1), stopped: make(chan struct{})}
	e.metrics = newMetrics(s.registry, e, s.own)
	var send publish
	if cfg.Hub != "" {
		if e.hub, err = newHubSender(cfg.Hub, cfg.Instance, cfg.Token, e.metrics, s.log); err != nil {
			return nil, err
		}
		send = e.hub.publish
	}
	transport := client.NewStreamTransport()
	e.closers = append(e.closers, transport.CloseIdleConnections)
	c := client.New(cfg.Orchestrator, nil, client.WithToken(cfg.Token),
		client.WithStreams(&http.Client{Transport: transport}), client.WithStreamsAt(cfg.Streams))
	e.fleet = c.NewFleet(client.FleetConfig{Refused: e.refuse, Log: s.log})
	shared := &budget{}
	for _, agents := range cfg.Agents {
		g := &group{
			handlers: e.handlers(agents, s.own), progress: agents.Progress, budget: shared, metrics: e.metrics, log: s.log,
		}
		if agents.Progress.To != "" {
			g.publish = send
		}
		labels := maps.Clone(s.labels)
		if labels == nil {
			labels = map[string]string{}
		}
		maps.Copy(labels, agents.Labels)
		for n := range agents.Count {
			id := agentID(agents.Name, cfg.Instance, n+1)
			e.agents = append(e.agents, id)
			err := e.fleet.Add(client.AgentConfig{
				ID: id, Capabilities: agents.Capabilities, Capacity: agents.Capacity, Labels: labels,
				Handle: func(ctx context.Context, as *hivev1.Assignment) ([]byte, error) { return g.execute(ctx, id, as) },
				Grace:  cfg.Grace, Log: s.log,
				Taken: func() { e.taken.Add(1); e.metrics.taken.Inc() },
				Done:  e.metrics.ended,
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return e, nil
}

// handlers makes a group's handlers.
func (e *Engine) handlers(agents Agents, own map[string]Handler) map[string]Handler {
	out := map[string]Handler{}
	for _, name := range agents.Handlers {
		switch name {
		case echoName:
			out[name] = HandlerFunc(echo)
		case hashName:
			out[name] = agents.Hash.handler()
		case sleepName:
			out[name] = agents.Sleep.handler()
		case httpName:
			h := newHTTP(agents.HTTP)
			e.closers = append(e.closers, h.client.CloseIdleConnections)
			out[name] = h
		default:
			out[name] = own[name]
		}
	}
	return out
}

// Run hosts the agents until ctx ends. Then they take no more, what is in flight
// has Config.Grace to finish, the rest is given back, and the connections end. An
// error means that the orchestrator will never accept an agent. Run once.
func (e *Engine) Run(ctx context.Context) error {
	return e.run(ctx, make(chan struct{}))
}

// run closes started as soon as stop is set.
func (e *Engine) run(ctx context.Context, started chan<- struct{}) error {
	ctx, e.stop = context.WithCancel(ctx)
	defer e.stop()
	close(started)
	defer close(e.stopped)
	defer e.reporting(ctx)()
	err := e.fleet.Run(ctx)
	for _, done := range e.closers {
		done()
	}
	select {
	case refused := <-e.refused:
		return errors.Join(refused, err)
	default:
		return err
	}
}

// refuse ends the engine: one refused agent means that the configuration is wrong for
// all. The stream's reader calls it, so it does not block.
func (e *Engine) refuse(_ string, err error) {
	select {
	case e.refused <- err:
	default: // the first one says it
	}
	e.stop()
}

// reporting keeps the place at the hub until the answered function is called,
// which waits for the last reports: they come while the agents finish.
func (e *Engine) reporting(ctx context.Context) func() {
	if e.hub == nil {
		return func() {}
	}
	ctx, leave := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { e.hub.run(ctx) })
	return func() {
		e.hub.flush()
		leave()
		wg.Wait()
	}
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
	for _, id := range e.agents {
		st, _ := e.fleet.Status(id) // one that has left is not attached and holds nothing
		s.InFlight += st.InFlight
		if st.Attached {
			s.Attached++
		}
	}
	return s
}

// drain takes no more tasks; what is in flight goes on. Safe to repeat.
func (e *Engine) drain() {
	e.drained.Store(true)
	for _, id := range e.agents {
		e.fleet.Pause(id)
	}
}

// resume takes tasks again. Safe to repeat.
func (e *Engine) resume() {
	e.drained.Store(false)
	for _, id := range e.agents {
		e.fleet.Resume(id)
	}
}

// ready answers nil when the engine works or was told not to.
func (e *Engine) ready(context.Context) error {
	if s := e.Status(); s.Attached == 0 && !s.Draining {
		return fmt.Errorf("none of %d agents is attached at %s: an orchestrator, or its proxy's port for HTTP/2, must answer there (HIVE_STREAM_URL)",
			s.Agents, e.streams)
	}
	return nil
}
