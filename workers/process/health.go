package process

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// checkTimeout bounds one round of checks: the compose health check gives 5 s.
const checkTimeout = 2 * time.Second

// Check is one thing that the service depends on.
type Check struct {
	// Name is the key in /health's checks.
	Name string
	// Required makes a failure turn readiness false; else the status is degraded.
	Required bool
	// Probe answers nil when the thing works.
	Probe func(context.Context) error
}

// health answers /healthz, /readyz and /health.
type health struct {
	cfg      Config
	draining atomic.Bool

	mu     sync.Mutex
	checks []Check
}

func (h *health) add(c Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, c)
}

// HealthReport is the body of /health.
type HealthReport struct {
	Service  string `json:"service"`
	Version  string `json:"version"`
	Instance string `json:"instance"`
	// Status is ok, degraded (an optional check fails), failing or draining.
	Status string `json:"status"`
	// Checks maps each check to "ok" or to its error.
	Checks map[string]string `json:"checks"`
}

// Health states.
const (
	StatusOK       = "ok"
	StatusDegraded = "degraded"
	StatusFailing  = "failing"
	StatusDraining = "draining"
)

// Ready tells whether the state wants traffic.
func (r HealthReport) Ready() bool {
	return r.Status == StatusOK || r.Status == StatusDegraded
}

func (h *health) report(ctx context.Context) HealthReport {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	h.mu.Lock()
	checks := h.checks
	h.mu.Unlock()

	errs := make([]error, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { errs[i] = c.Probe(ctx) })
	}
	wg.Wait()

	r := HealthReport{
		Service: h.cfg.Service, Version: h.cfg.Version, Instance: h.cfg.Instance,
		Status: StatusOK, Checks: make(map[string]string, len(checks)),
	}
	for i, c := range checks {
		r.Checks[c.Name] = "ok"
		if errs[i] == nil {
			continue
		}
		r.Checks[c.Name] = errs[i].Error()
		if c.Required {
			r.Status = StatusFailing
		} else if r.Status == StatusOK {
			r.Status = StatusDegraded
		}
	}
	if h.draining.Load() {
		r.Status = StatusDraining
	}
	return r
}

func (h *health) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		WriteJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	mux.HandleFunc("GET /readyz", h.serve)
	mux.HandleFunc("GET /health", h.serve)
}

func (h *health) serve(w http.ResponseWriter, r *http.Request) {
	rep := h.report(r.Context())
	code := http.StatusOK
	if !rep.Ready() {
		code = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	WriteJSON(w, code, rep)
}

// WriteJSON answers with a JSON body. An error here means that the client has
// gone: there is nobody left to tell.
func WriteJSON(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}
