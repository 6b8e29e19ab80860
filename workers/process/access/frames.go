package access

import (
	"encoding/binary"
	"net/http"
	"strings"
)

// prefixSize is a frame's flags and length, the same in Connect and gRPC.
const prefixSize = 5

// frames follows the frames of a stream's body.
type frames struct {
	prefix [prefixSize]byte
	have   int
	left   uint32
}

// framesOf answers nil for a body that has no frames.
func framesOf(r *http.Request) *frames {
	kind := r.Header.Get("Content-Type")
	if strings.HasPrefix(kind, "application/grpc") || strings.HasPrefix(kind, "application/connect+") {
		return &frames{}
	}
	return nil
}

// within tells whether a frame has begun and not ended.
func (f *frames) within() bool { return f.have > 0 }

// advance takes what was read and tells whether a frame has ended in it.
func (f *frames) advance(p []byte) (ended bool) {
	if f == nil {
		return false
	}
	for len(p) > 0 {
		if f.have < prefixSize {
			n := copy(f.prefix[f.have:], p)
			f.have, p = f.have+n, p[n:]
			if f.have < prefixSize {
				return ended
			}
			f.left = binary.BigEndian.Uint32(f.prefix[1:])
		}
		n := min(uint64(f.left), uint64(len(p)))
		f.left -= uint32(n)
		p = p[n:]
		if f.left == 0 {
			f.have, ended = 0, true
		}
	}
	return ended
}
