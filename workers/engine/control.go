package engine

import (
	"log/slog"
	"net/http"

	"github.com/leanvibe/hive/workers/process"
)

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
	p.Handle("POST /control/drain", answer(e.drain))
	p.Handle("POST /control/resume", answer(e.resume))
	p.Handle("GET /control/status", answer(nil))
}
