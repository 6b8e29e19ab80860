package partition

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/leanvibe/hive/workers/assignment/codec"
)

// kind is what a record says. The numbers are in the journal: never change them.
type kind uint8

const (
	kindSubmitted kind = 1
	kindStarted   kind = 2
	kindEnded     kind = 3
	kindForgotten kind = 4
	// Only in a snapshot: a task as it stood, and a queue's counters.
	kindWhole    kind = 5
	kindCounters kind = 6
	// A dead letter put back, and finished tasks that the archive has confirmed.
	kindRedriven kind = 7
	kindArchived kind = 8
	// As those without "apart", but a body says first whether Redis keeps it, and then is its
	// ref. Written only where Redis keeps one.
	kindSubmittedApart kind = 9
	kindEndedApart     kind = 10
	kindWholeApart     kind = 11
)

// plain answers the kind without bodies apart, and whether k has them.
func (k kind) plain() (kind, bool) {
	switch k {
	case kindSubmittedApart:
		return kindSubmitted, true
	case kindEndedApart:
		return kindEnded, true
	case kindWholeApart:
		return kindWhole, true
	}
	return k, false
}

// cause is why an execution, or a task's waiting, ended. The numbers are in the
// journal: never change them.
type cause uint8

const (
	causeCompleted cause = 1
	causeFailed    cause = 2
	causeLost      cause = 3
	causeReleased  cause = 4
	causeExpired   cause = 5
	causeCancelled cause = 6
)

// event is a decoded record. Its bytes share the record's memory.
type event struct {
	kind    kind // the plain one
	id      TaskID
	at      int64 // Unix µs
	attempt uint32
	agent   string
	cause   cause
	phase   Phase // that the task is in afterwards
	text    string
	body    []byte
	ref     ref // in place of body
	whole   *Task
	stats   Stats
	ids     []byte // of tasks, one behind the other
}

// writer appends encoded fields to buf.
type writer struct{ buf []byte }

func (w *writer) kind(k kind, id TaskID) {
	w.buf = append(append(w.buf, byte(k)), id[:]...)
}

func (w *writer) number(n uint64) { w.buf = binary.AppendUvarint(w.buf, n) }

func (w *writer) text(s string) {
	w.number(uint64(len(s)))
	w.buf = append(w.buf, s...)
}

func (w *writer) bytes(b []byte) {
	w.number(uint64(len(b)))
	w.buf = append(w.buf, b...)
}

// body writes one, or in a record of a kind with bodies apart its ref where it has one.
func (w *writer) body(b []byte, r ref, apart bool) {
	switch {
	case !apart:
		w.bytes(b)
	case r.size > 0:
		w.number(uint64(r.size)<<1 | 1)
		w.buf = append(w.buf, r.sum[:]...)
	default:
		w.number(uint64(len(b)) << 1)
		w.buf = append(w.buf, b...)
	}
}

// either answers the first kind, or the one with bodies apart.
func either(k, with kind, apart bool) kind {
	if apart {
		return with
	}
	return k
}

func (w *writer) draft(d *Draft) {
	w.text(d.Key)
	w.buf = append(w.buf, d.Digest[:]...)
	w.text(d.Queue)
	w.text(d.Handler)
	w.number(uint64(len(d.Capabilities)))
	for _, c := range d.Capabilities {
		w.text(c)
	}
	w.number(uint64(d.Priority))
	w.number(uint64(d.Deadline))
	w.number(uint64(d.MaxAttempts))
	w.body(d.Payload, d.stored.payloadRef(), d.stored != nil)
}

func (w *writer) submitted(t *Task) {
	w.kind(either(kindSubmitted, kindSubmittedApart, t.stored != nil), t.ID)
	w.number(uint64(t.Submitted))
	w.draft(&t.Draft)
}

func (w *writer) started(t *Task) {
	w.kind(kindStarted, t.ID)
	w.number(uint64(t.Started))
	w.number(uint64(t.Attempt))
	w.text(t.Agent)
}

func (w *writer) ended(e *event) {
	apart := e.ref.size > 0
	w.kind(either(kindEnded, kindEndedApart, apart), e.id)
	w.number(uint64(e.at))
	w.buf = append(w.buf, byte(e.cause), byte(e.phase))
	w.text(e.text)
	w.body(e.body, e.ref, apart)
}

func (w *writer) redriven(id TaskID, at int64) {
	w.kind(kindRedriven, id)
	w.number(uint64(at))
}

// archived lists tasks; its ID is nobody's.
func (w *writer) archived(ids []TaskID) {
	w.kind(kindArchived, TaskID{})
	w.number(uint64(len(ids) * len(TaskID{})))
	for _, id := range ids {
		w.buf = append(w.buf, id[:]...)
	}
}

func (w *writer) forgotten(id TaskID) { w.kind(kindForgotten, id) }

func (w *writer) whole(t *Task) {
	w.kind(either(kindWhole, kindWholeApart, t.stored != nil), t.ID)
	w.number(uint64(t.Submitted))
	w.draft(&t.Draft)
	w.buf = append(w.buf, byte(t.Phase))
	w.number(uint64(t.Attempt))
	w.number(uint64(t.Failures))
	w.text(t.Agent)
	w.number(uint64(t.Started))
	w.number(uint64(t.Finished))
	w.body(t.Result, t.stored.resultRef(), t.stored != nil)
	w.text(t.Error)
}

func (w *writer) counters(s *Stats) {
	w.kind(kindCounters, TaskID{})
	w.text(s.Queue)
	for _, n := range s.kept() {
		w.number(*n)
	}
}

// reader takes fields off a record; the first that is not there is kept as err.
type reader struct {
	rest []byte
	err  error
}

var (
	errShort = errors.New("it ends before its fields do")
	errApart = fmt.Errorf("a body apart has 1 to %d bytes", codec.MaxBytes)
)

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.err, r.rest = errShort, nil
		return nil
	}
	out := r.rest[:n:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.err, r.rest = errShort, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *reader) text() string  { return string(r.bytes()) }
func (r *reader) bytes() []byte { return r.take(r.number()) }

// body reads what writer.body has written.
func (r *reader) body(apart bool) ([]byte, ref) {
	if !apart {
		return r.bytes(), ref{}
	}
	n := r.number()
	if n&1 == 0 {
		return r.take(n >> 1), ref{}
	}
	out := ref{size: int(n >> 1)}
	copy(out.sum[:], r.take(uint64(len(out.sum))))
	if out.size == 0 || out.size > codec.MaxBytes {
		r.err, r.rest = errApart, nil
	}
	return nil, out
}

// payload and result read a task's.
func (r *reader) payload(t *Task, apart bool) {
	var is ref
	if t.Payload, is = r.body(apart); is.size > 0 {
		t.stored = &stored{payload: is}
	}
}

func (r *reader) result(t *Task, apart bool) { t.keepResult(r.body(apart)) }

func (r *reader) draft(d *Draft) {
	d.Key = r.text()
	copy(d.Digest[:], r.take(uint64(len(d.Digest))))
	d.Queue, d.Handler = r.text(), r.text()
	count := r.number()
	if count > uint64(len(r.rest)) { // each takes a byte at least
		r.err, r.rest = errShort, nil
		return
	}
	for range count {
		d.Capabilities = append(d.Capabilities, r.text())
	}
	d.Priority, d.Deadline, d.MaxAttempts = int(r.number()), int64(r.number()), int(r.number())
}

// decode reads one record that fills b.
func decode(b []byte) (event, error) {
	r := reader{rest: b}
	e := event{}
	var apart bool
	e.kind, apart = kind(r.byte()).plain()
	copy(e.id[:], r.take(uint64(len(e.id))))
	switch e.kind {
	case kindSubmitted:
		e.at = int64(r.number())
		e.whole = &Task{Phase: Waiting, Submitted: e.at}
		r.draft(&e.whole.Draft)
		r.payload(e.whole, apart)
	case kindStarted:
		e.at, e.attempt = int64(r.number()), uint32(r.number())
		e.agent = r.text()
	case kindEnded:
		e.at = int64(r.number())
		e.cause, e.phase = cause(r.byte()), Phase(r.byte())
		e.text = r.text()
		e.body, e.ref = r.body(apart)
	case kindForgotten:
	case kindRedriven:
		e.at = int64(r.number())
	case kindArchived:
		if e.ids = r.bytes(); len(e.ids)%len(TaskID{}) != 0 {
			return e, fmt.Errorf("its %d bytes are no list of task ids", len(e.ids))
		}
	case kindWhole:
		t := &Task{Submitted: int64(r.number())}
		r.draft(&t.Draft)
		r.payload(t, apart)
		t.Phase = Phase(r.byte())
		t.Attempt, t.Failures = int(r.number()), int(r.number())
		t.Agent = r.text()
		t.Started, t.Finished = int64(r.number()), int64(r.number())
		r.result(t, apart)
		t.Error = r.text()
		e.whole = t
	case kindCounters:
		e.stats.Queue = r.text()
		for _, n := range e.stats.kept() {
			*n = r.number()
		}
	default:
		return e, fmt.Errorf("its kind %d is not known: a newer version wrote it", e.kind)
	}
	if e.whole != nil {
		e.whole.ID = e.id
	}
	if r.err == nil && len(r.rest) > 0 {
		return e, fmt.Errorf("%d bytes follow its fields", len(r.rest))
	}
	return e, r.err
}
