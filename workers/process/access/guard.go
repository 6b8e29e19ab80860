package access

import "net/http"

// Guard bounds what a caller sends and times out those who send or read too slowly.
type Guard struct {
	limits Limits
	// refused is told the reason: body_size, body_slow or read_slow.
	refused func(reason string)
}

// NewGuard makes a guard; refused is told the reason of every refusal.
func NewGuard(l Limits, refused func(reason string)) *Guard {
	return &Guard{limits: l, refused: refused}
}

// Serve answers a request through next. A stream's body may be silent between its
// frames and has no bound as a whole.
func (g *Guard) Serve(w http.ResponseWriter, r *http.Request, stream bool, next http.Handler) {
	out := &reply{ResponseWriter: w, conn: http.NewResponseController(w), guard: g, request: r}
	defer out.finish()
	if r.Body == nil || r.Body == http.NoBody {
		next.ServeHTTP(out, r)
		return
	}
	in := &body{ReadCloser: r.Body, reply: out, limits: g.limits, left: g.limits.Body}
	if stream {
		in.frames = framesOf(r)
	}
	out.body = in
	r.Body = in
	if !stream && r.ContentLength > g.limits.Body {
		out.refuse(tooLarge(g.limits.Body))
		return
	}
	in.endless = stream
	next.ServeHTTP(out, r)
}
