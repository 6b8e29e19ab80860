package partition

import (
	"crypto/sha256"
	"fmt"
)

// bodyMost is the largest payload or result that a task keeps in memory and in its records,
// in bytes. A larger one is kept by Redis alone, in a key of its own.
const bodyMost = 4 << 10

// side tells a task's two bodies apart. The letters are in Redis' keys: never change them.
type side byte

const (
	payloadSide side = 'p'
	resultSide  side = 'r'
)

var sideNames = map[side]string{payloadSide: "payload", resultSide: "result"}

// bodyID names a body that Redis keeps. One is written once, and never changes.
type bodyID struct {
	task TaskID
	side side
}

// name is the body's with the journal.
func (b bodyID) name() string { return b.task.String() + ":" + string(b.side) }

// A ref tells one large body from any other; size 0: there is none.
type ref struct {
	size int
	sum  [16]byte
}

// refOf answers the ref of a large body, and none for another.
func refOf(body []byte) ref {
	if len(body) <= bodyMost {
		return ref{}
	}
	sum := sha256.Sum256(body)
	return ref{len(body), [16]byte(sum[:])}
}

// stored says which bodies of a task Redis keeps; nil: none. It never changes, because
// copies of the task share it.
type stored struct{ payload, result ref }

// size is what they take in Redis, in bytes.
func (s *stored) size() int {
	return s.payloadRef().size + s.resultRef().size
}

// payloadRef answers that of the payload, if Redis keeps it.
func (s *stored) payloadRef() ref {
	if s == nil {
		return ref{}
	}
	return s.payload
}

// resultRef answers that of the result, if Redis keeps it.
func (s *stored) resultRef() ref {
	if s == nil {
		return ref{}
	}
	return s.result
}

// each calls do for each of the bodies.
func (s *stored) each(task TaskID, do func(bodyID, ref)) {
	if r := s.payloadRef(); r.size > 0 {
		do(bodyID{task, payloadSide}, r)
	}
	if r := s.resultRef(); r.size > 0 {
		do(bodyID{task, resultSide}, r)
	}
}

// weigh finds out whether the payload is large. That reads all of it, so it is done before
// the partition's turn. A draft that was weighed is not written to any more: an abandoned call
// may still read it.
func (d *Draft) weigh() {
	if d.stored != nil {
		return
	}
	if r := refOf(d.Payload); r.size > 0 {
		d.stored = &stored{payload: r}
	}
}

// weigh is Draft.weigh for a result.
func (r *Report) weigh() {
	if r.ref.size > 0 {
		return
	}
	if is := refOf(r.Result); is.size > 0 {
		r.ref = is
	}
}

// keepResult gives the task its result, or the word that Redis keeps it.
func (t *Task) keepResult(body []byte, r ref) {
	t.Result = body
	if r.size > 0 {
		t.stored = &stored{payload: t.stored.payloadRef(), result: r}
	}
}

// BodyError is a body that Redis should keep and does not: it was deleted or changed there.
type BodyError struct {
	Task TaskID
	// Key is where it should be, Size its bytes.
	Key  string
	Size int
	// What is "payload" or "result", Why what is wrong with it.
	What, Why string
}

func (e *BodyError) Error() string {
	return fmt.Sprintf("the %s of task %s, %d bytes in Redis' key %s, %s: the key was deleted or changed by somebody else", e.What, e.Task, e.Size, e.Key, e.Why)
}
