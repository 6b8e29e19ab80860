package access

import "time"

// Limits are what a caller may send, and how long one is waited for.
type Limits struct {
	// HeaderBytes bounds a request's header; the answer beyond it is 431.
	HeaderBytes int
	// HeaderTimeout is the time for a whole header, and for a TLS handshake.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection without a request is kept.
	IdleTimeout time.Duration
	// Body bounds a request's whole body, in bytes. A stream's body has no end; its
	// frames are bounded one by one.
	Body int64
	// BodyGrace is the time for a body's first byte and for what does not come
	// steadily; BodyRate, in bytes a second, is how fast it must come beyond it. On a
	// stream both hold within each frame: between frames it may be silent.
	BodyGrace time.Duration
	BodyRate  int64
	// WriteGrace is how long one write may wait for a peer that does not read;
	// larger ones have a second more for each BodyRate.
	WriteGrace time.Duration
}

// DefaultLimits are the services'.
func DefaultLimits() Limits {
	return Limits{
		HeaderBytes:   32 << 10,
		HeaderTimeout: 10 * time.Second,
		// It outlives the proxy's upstream keepalive of 60 s: a connection that we
		// closed first could swallow a request the proxy has just sent.
		IdleTimeout: 90 * time.Second,
		// A Connect message of 8 MiB and its frame.
		Body:       8<<20 + 64<<10,
		BodyGrace:  10 * time.Second,
		BodyRate:   16 << 10,
		WriteGrace: 10 * time.Second,
	}
}

// extra is the time that n bytes may take at the slowest rate.
func (l Limits) extra(n int64) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(l.BodyRate)
}
