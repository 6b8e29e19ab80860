package messaging

import (
	"errors"
	"io"

	"github.com/coder/websocket"

	"github.com/leanvibe/hive/api/frame"
)

// endReason says why a session ends; it is also the metric's label.
type endReason string

const (
	endDraining endReason = "draining"
	endSlow     endReason = "slow"
	endReplaced endReason = "replaced"
	endClient   endReason = "client"
	endError    endReason = "error"
)

// code is what the client is told.
func (r endReason) code() websocket.StatusCode {
	switch r {
	case endDraining:
		return websocket.StatusGoingAway
	case endSlow:
		return frame.CloseSlow
	case endReplaced:
		return frame.CloseReplaced
	case endClient:
		return websocket.StatusNormalClosure
	default:
		return websocket.StatusInternalError
	}
}

// Error makes it a context's cause.
func (r endReason) Error() string { return string(r) }

// end asks for the session's end; the first reason stands.
func (s *session) end(r endReason) { s.ending(r) }

func readEnd(err error) endReason {
	if websocket.CloseStatus(err) != -1 || errors.Is(err, io.EOF) {
		return endClient
	}
	return endError
}
