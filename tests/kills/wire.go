package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

// frameMost bounds one message that the wire reads along; the services' own bound is lower.
const frameMost = 32 << 20

// wire reads along what passes between agents and the orchestrator, and records it.
type wire struct{ *recorder }

// response reads an answer along; body is the request's, where it was read whole, and t what
// is said on the stream, where it is one of many agents.
func (w wire) response(r *http.Response, path string, body []byte, t *talk) {
	if r.StatusCode != http.StatusOK {
		return
	}
	switch path {
	case hivev1connect.AssignmentServiceWorkProcedure:
		r.Body = &along{ReadCloser: r.Body, frame: t.down}
	case hivev1connect.AssignmentServiceAttachProcedure:
		agent := agentOf(body)
		r.Body = &along{ReadCloser: r.Body, frame: func(b []byte) { w.attach(agent, b) }}
	case hivev1connect.AssignmentServiceCompleteProcedure:
		var in hivev1.CompleteRequest
		var out hivev1.CompleteResponse
		if readWhole(r, body, &in, &out) {
			w.verdict(in.GetAgentId(), in.GetExecution(), &out)
		}
	case hivev1connect.AssignmentServiceHeartbeatProcedure:
		var in hivev1.HeartbeatRequest
		var out hivev1.HeartbeatResponse
		if readWhole(r, body, &in, &out) {
			w.notice(in.GetAgentId(), out.GetLost())
		}
	}
}

func (w wire) work(m *hivev1.WorkResponse) {
	for _, a := range m.GetAssignments() {
		for _, as := range a.GetAssignments() {
			w.assignment(a.GetAgentId(), as)
		}
	}
	for _, l := range m.GetLost() {
		w.notice(l.GetAgentId(), l.GetLost())
	}
	for _, a := range m.GetAttached() {
		w.notice(a.GetAgentId(), a.GetLost())
	}
}

func (w wire) attach(agent string, b []byte) {
	var m hivev1.AttachResponse
	if proto.Unmarshal(b, &m) != nil {
		return
	}
	switch ev := m.GetEvent().(type) {
	case *hivev1.AttachResponse_Assignment:
		w.assignment(agent, ev.Assignment)
	case *hivev1.AttachResponse_Attached:
		w.notice(agent, ev.Attached.GetLost())
	}
}

func (w wire) assignment(agent string, as *hivev1.Assignment) {
	x := as.GetExecution()
	w.given(Given{Task: x.GetTaskId(), Attempt: int(x.GetAttempt()), Agent: agent, At: time.Now()})
}

func (w wire) verdict(agent string, x *hivev1.Execution, v *hivev1.CompleteResponse) {
	w.report(Report{
		Task: x.GetTaskId(), Attempt: int(x.GetAttempt()), Agent: agent, Answered: time.Now(),
		Accepted: v.GetAccepted(), Duplicate: v.GetDuplicate(), Reason: v.GetReason(),
		Completed: v.GetState() == hivev1.TaskState_TASK_STATE_COMPLETED,
	})
}

func (w wire) notice(agent string, list []*hivev1.Execution) {
	for _, x := range list {
		w.lost(Notice{Task: x.GetTaskId(), Attempt: int(x.GetAttempt()), Agent: agent, At: time.Now()})
	}
}

// agentOf reads the id off the one frame of an Attach request.
func agentOf(body []byte) string {
	var m hivev1.AttachRequest
	(&along{frame: func(b []byte) { _ = proto.Unmarshal(b, &m) }}).take(body) // an unreadable one has no agent
	return m.GetAgentId()
}

// readWhole reads a unary exchange and puts the answer's body back.
func readWhole(r *http.Response, body []byte, in, out proto.Message) bool {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/proto") {
		return false
	}
	raw, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(raw), &brokenReader{err}))
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	if r.Header.Get("Content-Encoding") == "gzip" {
		if raw, err = gunzip(raw); err != nil {
			return false
		}
	}
	return proto.Unmarshal(body, in) == nil && proto.Unmarshal(raw, out) == nil
}

type brokenReader struct{ err error }

// Read answers the error.
func (b *brokenReader) Read([]byte) (int, error) { return 0, b.err }

// along is a body whose frames (flags 1 byte, length 4 bytes, message) are read along.
type along struct {
	io.ReadCloser
	buf   []byte
	frame func([]byte)
}

// Read reads and reads along.
func (a *along) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	a.take(p[:n])
	return n, err
}

func (a *along) take(p []byte) {
	a.buf = append(a.buf, p...)
	for len(a.buf) >= 5 {
		size := int(binary.BigEndian.Uint32(a.buf[1:]))
		if size > frameMost || len(a.buf) < 5+size {
			return
		}
		flags, message := a.buf[0], a.buf[5:5+size]
		if flags&1 != 0 {
			var err error
			if message, err = gunzip(message); err != nil {
				message = nil
			}
		}
		if flags&^1 == 0 { // else the end of a Connect stream
			a.frame(message)
		}
		a.buf = append(a.buf[:0], a.buf[5+size:]...)
	}
}

func gunzip(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, frameMost))
}
