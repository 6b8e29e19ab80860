package process

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// drainBodyMax is how much of a refused request's body is read away, so that the
// connection ends in order and the proxy reads the 503 instead of a reset.
const drainBodyMax = 1 << 20

// identify puts the replica's name and version on every answer.
func identify(cfg Config, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Hive-Instance", cfg.Instance)
		w.Header().Set("X-Hive-Version", cfg.Version)
		next.ServeHTTP(w, r)
	})
}

// gate refuses new work while the process drains.
func (p *Process) gate(next http.Handler) http.Handler {
	refuse := http.HandlerFunc(p.refuseDraining)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.health.draining.Load() {
			p.entry.guard.Serve(w, r, false, refuse)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (p *Process) refuseDraining(w http.ResponseWriter, r *http.Request) {
	p.metrics.refused.Inc()
	if r.ProtoMajor == 1 { // a stream of HTTP/2 ends by itself, and its body may never
		_, _ = io.CopyN(io.Discard, r.Body, drainBodyMax)
	}
	w.Header().Set("Connection", "close") // on HTTP/2 the server says GOAWAY
	w.Header().Set("Retry-After", "1")
	WriteJSON(w, http.StatusServiceUnavailable, map[string]any{"error": map[string]string{
		"code": "unavailable", "message": p.cfg.Instance + " drains: nothing was done, send the request again",
	}})
}

// measure counts requests in flight, their time and their failures.
func (p *Process) measure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, route := p.mux.Handler(r)
		stream := p.streams[route]
		kind, count := "request", &p.metrics.requests
		if stream {
			kind, count = "stream", &p.metrics.streams
		}
		gauge := p.metrics.inFlight.WithLabelValues(kind)
		gauge.Inc()
		count.Add(1)
		defer gauge.Dec()
		defer count.Add(-1)

		start := time.Now()
		rec := &recorder{ResponseWriter: w, code: http.StatusOK}
		defer func() {
			if v := recover(); v != nil {
				rec.code = http.StatusInternalServerError
				p.finish(finished{route, r.Method, rec.code, time.Since(start), stream})
				panic(v)
			}
			p.finish(finished{route, r.Method, rec.code, time.Since(start), stream})
		}()
		p.entry.guard.Serve(rec, r, stream, next)
	})
}

// finished is one answered request.
type finished struct {
	route, method string
	code          int
	took          time.Duration
	stream        bool
}

func (p *Process) finish(f finished) {
	if f.code >= 500 {
		p.metrics.errors.WithLabelValues("http_5xx").Inc()
	}
	if f.route == "" {
		f.route = "none"
	}
	if !f.stream {
		p.metrics.duration.WithLabelValues(f.route, f.method, strconv.Itoa(f.code)).Observe(f.took.Seconds())
	}
}

// recorder remembers the status and passes streaming and WebSockets through.
type recorder struct {
	http.ResponseWriter
	code int
}

// WriteHeader remembers the final status.
func (r *recorder) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

// Flush sends what is buffered.
func (r *recorder) Flush() {
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

// Hijack hands the connection over, for WebSockets.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
