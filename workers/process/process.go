package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/leanvibe/hive/workers/process/access"
)

// Process is one running service. Set it up (Handle, AddCheck, OnDrain, Go),
// then call Run once.
type Process struct {
	// Log writes JSON lines with the service's name on each.
	Log *slog.Logger

	cfg     Config
	logFile io.Closer
	metrics *metrics
	health  *health
	entry   *entry
	mux     *http.ServeMux
	streams map[string]bool
	serves  bool // more than the endpoints of operation
	drains  []func(context.Context)
	tasks   []task
	addr    chan net.Addr
}

type task struct {
	name string
	run  func(context.Context) error
}

// New prepares a process. It fails when the log directory cannot be written, or
// when the tokens or the TLS pair that it was told of cannot be read.
func New(cfg Config) (*Process, error) {
	if cfg.Limits == (access.Limits{}) {
		cfg.Limits = access.DefaultLimits()
	}
	m := newMetrics(cfg)
	entry, err := newEntry(cfg, m)
	if err != nil {
		return nil, err
	}
	log, closer, err := newLogger(cfg, m.logErrors)
	if err != nil {
		return nil, err
	}
	return &Process{
		Log: log, cfg: cfg, logFile: closer, metrics: m,
		entry:   entry,
		health:  &health{cfg: cfg},
		mux:     http.NewServeMux(),
		streams: map[string]bool{},
		addr:    make(chan net.Addr, 1),
	}, nil
}

// Config answers what the process was told.
func (p *Process) Config() Config { return p.cfg }

// Registry is where workers register their metrics.
func (p *Process) Registry() *prometheus.Registry { return p.metrics.registry }

// CountError adds one to leanvibe_errors_total{kind}.
func (p *Process) CountError(kind string) { p.metrics.errors.WithLabelValues(kind).Inc() }

// Handle serves a pattern of http.ServeMux.
func (p *Process) Handle(pattern string, h http.Handler) {
	p.serves = true
	p.mux.Handle(pattern, h)
}

// HandleStream serves a pattern whose answers last: they are counted as streams
// and kept out of the latency histogram.
func (p *Process) HandleStream(pattern string, h http.Handler) {
	p.streams[pattern] = true
	p.Handle(pattern, h)
}

// AddCheck adds a dependency to /health and, when required, to readiness.
func (p *Process) AddCheck(c Check) { p.health.add(c) }

// OnDrain adds a hook that runs when the drain begins, after readiness has
// turned false and new requests are refused. Hooks run side by side; the
// listener stays open until all have returned.
func (p *Process) OnDrain(hook func(context.Context)) { p.drains = append(p.drains, hook) }

// Go adds a background task. Its context ends after the server has shut down.
// A task that fails while the process runs begins the drain, and Run returns its error.
func (p *Process) Go(name string, run func(context.Context) error) {
	p.tasks = append(p.tasks, task{name, run})
}

// Addr waits for the server to listen and answers its address.
func (p *Process) Addr(ctx context.Context) (net.Addr, error) {
	select {
	case a := <-p.addr:
		p.addr <- a
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ErrCut is returned by Run when requests were still in flight at the end of
// the shutdown's bound.
var ErrCut = errors.New("requests in flight were cut")

// Run serves until ctx ends or a background task fails, then drains.
func (p *Process) Run(ctx context.Context) error {
	defer p.logFile.Close()
	listener, err := net.Listen("tcp", p.cfg.Listen)
	if err != nil {
		return fmt.Errorf("HIVE_LISTEN %s: %w", p.cfg.Listen, err)
	}
	p.addr <- listener.Addr()

	// Background tasks outlive ctx: they end after the last request.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var wg sync.WaitGroup
	for _, t := range p.tasks {
		wg.Go(func() {
			if err := t.run(background); err != nil && background.Err() == nil {
				p.Log.Error("background task failed", "task", t.name, "error", err)
				fail(fmt.Errorf("%s: %w", t.name, err))
			}
		})
	}
	p.entry.announce(p)
	wg.Go(func() { p.entry.watch(background, p.Log) })
	srv := p.server()
	go func() {
		if err := p.entry.serve(srv, listener); !errors.Is(err, http.ErrServerClosed) {
			fail(fmt.Errorf("serve: %w", err))
		}
	}()
	p.Log.Info("serving", "address", listener.Addr().String())

	<-ctx.Done()
	err = p.drain(srv)
	stop()
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	p.Log.Info("stopped", "error", err)
	return err
}

func (p *Process) server() *http.Server {
	p.mux.Handle("GET /metrics", promhttp.HandlerFor(p.metrics.registry, promhttp.HandlerOpts{}))
	p.health.register(p.mux)
	srv := &http.Server{
		Handler:   identify(p.cfg, p.route()),
		ConnState: p.metrics.connState,
		ErrorLog:  slog.NewLogLogger(p.Log.Handler(), slog.LevelWarn),
	}
	p.entry.bound(srv)
	return srv
}

// route answers the endpoints of operation itself, to everybody and even while
// draining; all else passes the gate, is measured, and needs a token.
func (p *Process) route() http.Handler {
	work := p.gate(p.measure(p.entry.door.Handler(p.mux)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz", "/readyz", "/health", "/metrics":
			p.entry.guard.Serve(w, r, false, p.mux)
		default:
			work.ServeHTTP(w, r)
		}
	})
}
