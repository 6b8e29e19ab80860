package access

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// body is a request's body that may not be too large nor come too slowly. Only the
// time that a read waits for the peer counts, not what the handler takes. One goroutine
// reads it; that may be another than the handler's, and outlive it.
type body struct {
	io.ReadCloser
	reply   *reply
	limits  Limits
	endless bool
	frames  *frames
	left    int64
	read    int64
	waited  time.Duration
	ended   bool // guarded by reply.mu
}

// Read reads on, and ends the request when the peer has had its time or its share.
func (b *body) Read(p []byte) (int, error) {
	began := time.Now()
	limit := noDeadline
	if bounded := b.frames == nil || b.read == 0 || b.frames.within(); bounded {
		limit = began.Add(b.limits.BodyGrace + b.limits.extra(b.read) - b.waited)
	}
	if !b.reply.within(func() { _ = b.reply.conn.SetReadDeadline(limit) }) {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.ReadCloser.Read(p)
	if !limit.IsZero() {
		b.waited += time.Since(began)
	}
	b.read += int64(n)
	if b.frames.advance(p[:n]) {
		b.waited, b.read = 0, 1 // a frame's time begins with its first byte
	}
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.reply.refuse(tooSlow(b.limits))
	default:
		b.reply.within(func() {
			b.ended = true
			_ = b.reply.conn.SetReadDeadline(noDeadline)
		})
	}
	if !b.endless {
		if b.left -= int64(n); b.left < 0 {
			b.reply.refuse(tooLarge(b.limits.Body))
			return n, &http.MaxBytesError{Limit: b.limits.Body}
		}
	}
	return n, err
}

// discard reads on for a while: a client that is cut while it writes may never read why.
func (b *body) discard() {
	_ = b.reply.conn.SetReadDeadline(time.Now().Add(b.limits.BodyGrace))
	_, _ = io.CopyN(io.Discard, b.ReadCloser, b.limits.Body)
}
