package access

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"time"
)

// noDeadline lifts a deadline.
var noDeadline time.Time

// reply is an answer whose peer must read. Once a request has been refused, what
// its handler still writes is an error to it and goes nowhere.
type reply struct {
	http.ResponseWriter
	conn     *http.ResponseController
	guard    *Guard
	request  *http.Request
	body     *body
	begun    bool
	refused  bool
	hijacked bool
	slow     bool
}

// errRefused is what a handler hears that writes on after the refusal.
var errRefused = errors.New("the request has been refused")

// refuse answers in the handler's place, unless it has begun to.
func (p *reply) refuse(f *refusal) {
	if p.refused {
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

// WriteHeader begins the answer.
func (p *reply) WriteHeader(code int) {
	if p.refused {
		return
	}
	p.begun = p.begun || code >= http.StatusOK || code == http.StatusSwitchingProtocols
	p.ResponseWriter.WriteHeader(code)
}

// Write gives the peer its time to read.
func (p *reply) Write(b []byte) (n int, err error) {
	if p.refused {
		return 0, errRefused
	}
	p.begun = true
	err = p.timed(len(b), func() (err error) {
		n, err = p.ResponseWriter.Write(b)
		return err
	})
	return n, err
}

// FlushError sends what is buffered.
func (p *reply) FlushError() error {
	if p.refused {
		return errRefused
	}
	p.begun = true
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
	if p.hijacked {
		return
	}
	now := time.Now()
	_ = p.conn.SetWriteDeadline(now.Add(p.guard.limits.WriteGrace))
	if p.body != nil && !p.body.ended {
		_ = p.conn.SetReadDeadline(now.Add(p.guard.limits.BodyGrace))
	}
}
