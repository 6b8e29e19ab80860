package ledger

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/uuid"
)

// What is hashed of a row is what PostgreSQL gives out in COPY's binary format:
// each column as its length in four bytes, big-endian, and its binary form, in the
// order of the columns below, the hash left out. So a million rows can be verified
// without being taken apart, and no two rows have the same bytes.
const (
	columns = `hash, seq, prev, id, at, workflow, run, procedure, step, effect, target, nth, effect_key, attempt, ` +
		`outcome, kind, changed, input_digest, duration_ms, requested_by, trigger, worker`
	columnCount = 22
	// Places of columns that are looked at.
	atHash, atSeq, atPrev, atID, atTarget, atOutcome = 0, 1, 2, 3, 10, 14
	// sealedAt is where the sealed bytes begin in a tuple: behind the hash.
	sealedAt = 4 + len(Hash{})
	// linked is what comes before the body: sequence and previous hash.
	linked = 4 + 8 + 4 + len(Hash{})
)

// epoch is PostgreSQL's, from which timestamps count microseconds.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

type buffer []byte

func (b *buffer) bytes(v []byte) {
	*b = binary.BigEndian.AppendUint32(*b, uint32(len(v)))
	*b = append(*b, v...)
}

func (b *buffer) text(v string) {
	*b = binary.BigEndian.AppendUint32(*b, uint32(len(v)))
	*b = append(*b, v...)
}

func (b *buffer) int64(v int64) {
	*b = binary.BigEndian.AppendUint32(*b, 8)
	*b = binary.BigEndian.AppendUint64(*b, uint64(v))
}

func (b *buffer) int32(v int32) {
	*b = binary.BigEndian.AppendUint32(*b, 4)
	*b = binary.BigEndian.AppendUint32(*b, uint32(v))
}

func (b *buffer) bool(v *bool) {
	switch {
	case v == nil:
		*b = binary.BigEndian.AppendUint32(*b, 0xffffffff)
	case *v:
		*b = append(*b, 0, 0, 0, 1, 1)
	default:
		*b = append(*b, 0, 0, 0, 1, 0)
	}
}

// sealed are the bytes of the row that its hash covers.
func (r *Row) sealed() []byte {
	b := make(buffer, 0, 640)
	b.int64(r.Seq)
	b.bytes(r.Prev[:])
	return append(b, r.body()...)
}

// body are the bytes of the row without its place in the chain.
func (r *Row) body() []byte {
	b := make(buffer, 0, 576)
	b.bytes(r.ID[:])
	b.int64(r.At.Sub(epoch).Microseconds())
	for _, s := range []string{r.Workflow, r.Run, r.Procedure, r.Step, r.Effect, r.Target} {
		b.text(s)
	}
	b.int32(r.Nth)
	b.bytes(r.Key[:])
	b.int32(r.Attempt)
	b.text(string(r.Outcome))
	b.text(r.Kind)
	b.bool(r.Changed)
	b.bytes(r.Input[:])
	b.int64(r.DurationMS)
	for _, s := range []string{r.RequestedBy, r.Trigger, r.Worker} {
		b.text(s)
	}
	return b
}

// tuple is the row as COPY gives it out, its field count left out.
func (r *Row) tuple() []byte {
	b := make(buffer, 0, 680)
	b.bytes(r.Hash[:])
	return append(b, r.sealed()...)
}

var errShape = errors.New("the bytes are no row of the ledger")

// reader takes the bytes of a row apart.
type reader struct {
	rest []byte
	bad  bool
}

// field is the next column; nil where it is NULL.
func (r *reader) field() []byte {
	if r.bad || len(r.rest) < 4 {
		r.bad = true
		return nil
	}
	n := int32(binary.BigEndian.Uint32(r.rest))
	r.rest = r.rest[4:]
	if n < 0 {
		return nil
	}
	if int(n) > len(r.rest) {
		r.bad = true
		return nil
	}
	v := r.rest[:n]
	r.rest = r.rest[n:]
	return v
}

func (r *reader) sized(n int) []byte {
	v := r.field()
	if len(v) != n {
		r.bad = true
		return make([]byte, n)
	}
	return v
}

func (r *reader) int64() int64 { return int64(binary.BigEndian.Uint64(r.sized(8))) }
func (r *reader) int32() int32 { return int32(binary.BigEndian.Uint32(r.sized(4))) }
func (r *reader) text() string { return string(r.field()) }
func (r *reader) hash() Hash   { return Hash(r.sized(len(Hash{}))) }

func (r *reader) bool() *bool {
	v := r.field()
	if v == nil {
		return nil
	}
	if len(v) != 1 {
		r.bad = true
		return nil
	}
	yes := v[0] != 0
	return &yes
}

// parse is the row of a body.
func parse(body []byte) (Row, error) {
	in := reader{rest: body}
	var r Row
	r.ID = uuid.UUID(in.sized(16))
	r.At = epoch.Add(time.Duration(in.int64()) * time.Microsecond)
	for _, s := range []*string{&r.Workflow, &r.Run, &r.Procedure, &r.Step, &r.Effect, &r.Target} {
		*s = in.text()
	}
	r.Nth = in.int32()
	r.Key = in.hash()
	r.Attempt = in.int32()
	r.Outcome = Outcome(in.text())
	r.Kind = in.text()
	r.Changed = in.bool()
	r.Input = in.hash()
	r.DurationMS = in.int64()
	for _, s := range []*string{&r.RequestedBy, &r.Trigger, &r.Worker} {
		*s = in.text()
	}
	if in.bad || len(in.rest) > 0 {
		return Row{}, errShape
	}
	return r, nil
}
