package access

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// refusal is why a request is not served. Reasons are distinct and documented in
// docs/access.md; they are also the metric's labels.
type refusal struct {
	status       int
	code, reason string
	message      string
	// rpc and grpc are the code as Connect and gRPC name it.
	rpc  string
	grpc int
	// challenge is the WWW-Authenticate header.
	challenge string
}

// Reasons of refusals.
const (
	reasonMissing   = "token_missing"
	reasonMalformed = "token_malformed"
	reasonUnknown   = "token_unknown"
	reasonRole      = "role"
	reasonNotOwn    = "not_own"
	reasonBodySize  = "body_size"
	reasonBodySlow  = "body_slow"
	reasonReadSlow  = "read_slow"
)

// Reasons are all of them, for metrics that must exist before they count.
func Reasons() []string {
	return []string{
		reasonMissing, reasonMalformed, reasonUnknown, reasonRole, reasonNotOwn, reasonBodySize, reasonBodySlow, reasonReadSlow,
	}
}

// Codes of gRPC.
const (
	grpcDeadlineExceeded  = 4
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnauthenticated   = 16
)

func unauthenticated(reason, challenge, message string) *refusal {
	return &refusal{
		status: http.StatusUnauthorized, code: "unauthenticated", reason: reason, message: message,
		rpc: "unauthenticated", grpc: grpcUnauthenticated, challenge: challenge,
	}
}

func denied(reason, message string) *refusal {
	return &refusal{
		status: http.StatusForbidden, code: "permission_denied", reason: reason, message: message,
		rpc: "permission_denied", grpc: grpcPermissionDenied, challenge: `Bearer error="insufficient_scope"`,
	}
}

func tooLarge(limit int64) *refusal {
	return &refusal{
		status: http.StatusRequestEntityTooLarge, code: "payload_too_large", reason: reasonBodySize,
		message: fmt.Sprintf("the request's body is over %d bytes", limit), rpc: "resource_exhausted", grpc: grpcResourceExhausted,
	}
}

func tooSlow(l Limits) *refusal {
	return &refusal{
		status: http.StatusRequestTimeout, code: "too_slow", reason: reasonBodySlow,
		message: fmt.Sprintf("the request's body comes slower than %d bytes a second after the first %s", l.BodyRate, l.BodyGrace),
		rpc:     "deadline_exceeded", grpc: grpcDeadlineExceeded,
	}
}

// write answers in the form that the caller speaks. The body serves REST, which
// reads "error", and Connect, which reads "code" and "message".
func (f *refusal) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Del("Content-Length")
	h.Del("Content-Encoding")
	h.Set("Cache-Control", "no-store")
	if f.challenge != "" {
		h.Set("WWW-Authenticate", f.challenge)
	}
	if kind := r.Header.Get("Content-Type"); strings.HasPrefix(kind, "application/grpc") {
		h.Set("Content-Type", kind)
		h.Set("Grpc-Status", strconv.Itoa(f.grpc))
		h.Set("Grpc-Message", percent(f.message))
		w.WriteHeader(http.StatusOK)
		return
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	// An error here means that the client has gone.
	_ = json.NewEncoder(w).Encode(map[string]any{
		"error": map[string]string{"code": f.code, "reason": f.reason, "message": f.message},
		"code":  f.rpc, "message": f.message,
	})
}

// percent writes a gRPC message: printable ASCII but for the percent sign.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
