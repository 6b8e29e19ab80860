package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Subprotocol is the WebSocket subprotocol of binary frames: one frame holds
// items, one behind the other, to its end. Who does not ask for it speaks JSON.
const Subprotocol = "hive.batch.v1"

// BatchMax bounds a binary frame in either direction, in bytes.
const BatchMax = 1 << 20

// Op is the kind of an item.
type Op byte

// The kinds of items, and which fields they use.
const (
	OpHello       Op = 'H' // hub: Address is the agent, Cursor, Message the replica
	OpSend        Op = 'S' // client: Address, Producer, Seq of the first, Count, Body of Messages
	OpSent        Op = 'K' // hub: Address, Producer, Seq of the last stored
	OpRefused     Op = 'R' // hub: Address, Producer, Seq of the first not stored, Code, Message
	OpDeliver     Op = 'D' // hub: Address, Cursor of the last, Body of Records
	OpAck         Op = 'A' // client: Address, Cursor; everything up to it
	OpSubscribe   Op = 'U' // client: Address, Cursor; zero: where this agent's acknowledgements stand, else now
	OpSubscribed  Op = 'T' // hub: Address, Cursor where delivery begins
	OpUnsubscribe Op = 'N' // client: Address
	OpPing        Op = 'P' // client: Message
	OpPong        Op = 'O' // hub: Message
	OpError       Op = 'E' // hub: Address, Code, Message
)

// Item is one part of a binary frame; each kind uses some of the fields.
type Item struct {
	Op                               Op
	Address, Producer, Code, Message string
	Seq, Count                       uint64
	Cursor                           Cursor
	// Body is only valid as long as the frame that it was read from.
	Body []byte
}

// ErrMalformed is a frame that is not what it should be.
var ErrMalformed = errors.New("malformed batch")

// AppendItem writes an item behind b.
func AppendItem(b []byte, it *Item) []byte {
	b = append(b, byte(it.Op))
	b = appendString(b, it.Address)
	b = appendString(b, it.Producer)
	b = appendString(b, it.Code)
	b = appendString(b, it.Message)
	for _, n := range [...]uint64{it.Seq, it.Count, it.Cursor.MS, it.Cursor.N} {
		b = binary.AppendUvarint(b, n)
	}
	return appendBytes(b, it.Body)
}

// NextItem reads the first item of b and answers what follows it.
func NextItem(b []byte) (Item, []byte, error) { return (*Names)(nil).NextItem(b) }

// NextItem is frame.NextItem with addresses and producers that are kept.
func (n *Names) NextItem(b []byte) (it Item, rest []byte, err error) {
	if len(b) == 0 {
		return it, nil, fmt.Errorf("%w: no item", ErrMalformed)
	}
	r := reader{b: b[1:]}
	it.Op = Op(b[0])
	it.Address, it.Producer, it.Code, it.Message = n.of(r.bytes()), n.of(r.bytes()), r.text(), r.text()
	it.Seq, it.Count, it.Cursor.MS, it.Cursor.N = r.number(), r.number(), r.number(), r.number()
	it.Body = r.bytes()
	return it, r.b, r.err
}

// AppendMessage writes one message of a send's or a record's body. The id is
// the sender's own word for it and may be empty.
func AppendMessage(b []byte, id string, body []byte) []byte {
	return appendBytes(appendString(b, id), body)
}

// NextMessage reads the first message of b and answers what follows it. Both
// parts are only valid as long as b.
func NextMessage(b []byte) (id, body, rest []byte, err error) {
	r := reader{b: b}
	id, body = r.bytes(), r.bytes()
	return id, body, r.b, r.err
}

// Record is what one sender sent in one piece, as it lies in Redis and as it is
// delivered. Messages of a numbered producer are Seq, Seq+1, ...
type Record struct {
	From, Producer string
	Seq            uint64
	// AtMicros is when the hub took it in, in microseconds since 1970.
	AtMicros uint64
	Count    uint64
	Messages []byte
}

// AppendRecord writes a record behind b.
func AppendRecord(b []byte, rec *Record) []byte {
	b = appendString(b, rec.From)
	b = appendString(b, rec.Producer)
	for _, n := range [...]uint64{rec.Seq, rec.AtMicros, rec.Count} {
		b = binary.AppendUvarint(b, n)
	}
	return appendBytes(b, rec.Messages)
}

// NextRecord reads the first record of b and answers what follows it. Messages
// is only valid as long as b.
func NextRecord(b []byte) (Record, []byte, error) { return (*Names)(nil).NextRecord(b) }

// NextRecord is frame.NextRecord with senders and producers that are kept.
func (n *Names) NextRecord(b []byte) (rec Record, rest []byte, err error) {
	r := reader{b: b}
	rec.From, rec.Producer = n.of(r.bytes()), n.of(r.bytes())
	r.record(&rec)
	return rec, r.b, r.err
}

// SkipRecord reads the first record of b without its names.
func SkipRecord(b []byte) (rec Record, rest []byte, err error) {
	r := reader{b: b}
	r.bytes()
	r.bytes()
	r.record(&rec)
	return rec, r.b, r.err
}

// record reads what stands behind a record's names.
func (r *reader) record(rec *Record) {
	rec.Seq, rec.AtMicros, rec.Count = r.number(), r.number(), r.number()
	rec.Messages = r.bytes()
	if r.err == nil && rec.Count > uint64(len(rec.Messages)) {
		r.err = fmt.Errorf("%w: %d messages in %d bytes", ErrMalformed, rec.Count, len(rec.Messages))
	}
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes fields off a frame; after the first error it answers zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) number() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.err = fmt.Errorf("%w: a number is cut off", ErrMalformed)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.number()
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.b)) {
		r.err = fmt.Errorf("%w: a field of %d bytes where %d are left", ErrMalformed, n, len(r.b))
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string { return string(r.bytes()) }
