package access

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// noDeadline lifts a deadline.
var noDeadline time.Time

// reply is an answer whose peer must read. Once a request has been refused, what
// its handler still writes is an error to it and goes nowhere. The handler writes while
// another goroutine may read the body, even after the handler has returned: what is the
// connection's may not be touched any more then.
type reply struct {
	http.ResponseWriter
	conn     *http.ResponseController
	guard    *Guard
	request  *http.Request
	body     *body
	hijacked bool
	slow     bool

	mu      sync.Mutex
	begun   bool
	refused bool
	over    bool // the handler has returned
}

// errRefused is what a handler hears that writes on after the refusal.
var errRefused = errors.New("the request has been refused")

// refuse answers in the handler's place, unless it has begun to.
func (p *reply) refuse(f *refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused || p.over {
		return
	}
	p.guard.refused(f.reason)
	p.refused = true
	if p.begun {
		return
	}
	if p.request.ProtoMajor == 1 {
		p.Header().Set("Connection", "close")
		if f.reason == reasonBodySize && p.request.Header.Get("Expect") == "" {
			p.body.discard()
		}
	}
	f.write(p.ResponseWriter, p.request)
}

// within does something with the connection, unless the handler has returned.
func (p *reply) within(do func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		do()
	}
	return !p.over
}

// begin marks the answer as begun; false: it has been refused.
func (p *reply) begin(final bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = p.begun || final && !p.refused
	return !p.refused
}

// WriteHeader begins the answer.
func (p *reply) WriteHeader(code int) {
	if p.begin(code >= http.StatusOK || code == http.StatusSwitchingProtocols) {
		p.ResponseWriter.WriteHeader(code)
	}
}

// Write gives the peer its time to read.
func (p *reply) Write(b []byte) (n int, err error) {
	if !p.begin(true) {
		return 0, errRefused
	}
	err = p.timed(len(b), func() (err error) {
		n, err = p.ResponseWriter.Write(b)
		return err
	})
	return n, err
}

// FlushError sends what is buffered.
func (p *reply) FlushError() error {
	if !p.begin(true) {
		return errRefused
	}
	return p.timed(0, p.conn.Flush)
}

// Flush sends what is buffered.
func (p *reply) Flush() { _ = p.FlushError() }

// timed bounds one write. The deadline goes again with it: on HTTP/2 it would end
// the stream while it rests.
func (p *reply) timed(size int, write func() error) error {
	limit := p.guard.limits.WriteGrace + p.guard.limits.extra(int64(size))
	began := time.Now()
	_ = p.conn.SetWriteDeadline(began.Add(limit))
	err := write()
	if err == nil {
		_ = p.conn.SetWriteDeadline(noDeadline)
	} else if !p.slow && time.Since(began) >= limit {
		p.slow = true
		p.guard.refused(reasonReadSlow)
	}
	return err
}

// Hijack hands the connection over; whoever takes it sets its own deadlines.
func (p *reply) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := p.conn.Hijack()
	p.hijacked = err == nil
	return conn, rw, err
}

// Unwrap serves http.ResponseController.
func (p *reply) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// finish bounds what the server does for the request behind its handler: to send
// what is buffered, and to read away what is left of the body.
func (p *reply) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.hijacked {
		return
	}
	now := time.Now()
	_ = p.conn.SetWriteDeadline(now.Add(p.guard.limits.WriteGrace))
	if p.body != nil && !p.body.ended {
		_ = p.conn.SetReadDeadline(now.Add(p.guard.limits.BodyGrace))
	}
}
