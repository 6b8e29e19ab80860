package messaging

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/leanvibe/hive/api/frame"
)

// chunk is what one sender sends to one mailbox in one piece.
type chunk struct {
	to, from string
	// Either producer and seq of the first message, or the id of the only one.
	producer string
	seq      uint64
	id       string
	count    uint64
	messages []byte // frame.AppendMessage, count times

	taken  time.Time
	record []byte
	held   int // bytes counted as waiting
	done   func(outcome)
}

// outcome is what became of a chunk.
type outcome struct {
	// Cursor of its last message; zero where a numbered chunk had been stored before.
	cursor    frame.Cursor
	duplicate bool
	// Last is, after ErrGap, what is stored of the producer.
	last uint64
	err  error
}

// identity is the key by which Redis knows that the chunk had been stored.
func (c *chunk) identity() string {
	if c.seq > 0 {
		return producerKey(c.to, c.from+":"+c.producer)
	}
	return markKey(c.to, c.from, c.id)
}

// number is what the script knows the chunk by under its identity: the sequence
// number of its first message, or its body's digest.
func (c *chunk) number() any {
	if c.seq > 0 {
		return c.seq
	}
	sum := sha256.Sum256(c.messages)
	return "x" + hex.EncodeToString(sum[:8])
}

// encode writes the record that will be stored; the messages then are the
// record's, so that the frame's buffer can be used again.
func (c *chunk) encode() {
	c.record = frame.AppendRecord(make([]byte, 0, len(c.messages)+128), &frame.Record{
		From: c.from, Producer: c.producer, Seq: c.seq, AtMicros: uint64(c.taken.UnixMicro()), Count: c.count, Messages: c.messages,
	})
	c.messages = c.record[len(c.record)-len(c.messages):]
}

// skip drops the messages that are stored already, up to the sequence number.
func (c *chunk) skip(last uint64) error {
	for ; c.seq <= last && c.count > 0; c.seq++ {
		_, _, rest, err := frame.NextMessage(c.messages)
		if err != nil {
			return err
		}
		c.messages = rest
		c.count--
	}
	c.encode()
	return nil
}

var errAgain = errors.New("stored in part")

// judge reads the script's word for a chunk; errAgain: it was cut to what is not stored yet.
func (c *chunk) judge(said string) (outcome, error) {
	word, arg, _ := strings.Cut(said, " ")
	switch word {
	case "stored", "duplicate":
		o := outcome{duplicate: word == "duplicate"}
		if arg == "" {
			return o, nil
		}
		var err error
		o.cursor, err = frame.ParseCursor(arg)
		return o, err
	case "gap", "part":
		last, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return outcome{}, err
		}
		if word == "gap" {
			return outcome{last: last, err: ErrGap}, nil
		}
		if err := c.skip(last); err != nil {
			return outcome{}, err
		}
		return outcome{}, errAgain
	case "conflict":
		return outcome{err: ErrConflict}, nil
	case "full":
		return outcome{err: ErrFull}, nil
	}
	return outcome{}, fmt.Errorf("the script answered %q", said)
}

// entry is what one round stored in a mailbox; its bytes are shared and never changed.
type entry struct {
	// Prev is the cursor of the message before it, zero where it was read from Redis.
	prev, cursor frame.Cursor
	count        uint64
	records      []byte
}

// newEntry counts the messages of records.
func newEntry(cursor frame.Cursor, records []byte) (*entry, error) {
	e := &entry{cursor: cursor, records: records}
	for rest := records; len(rest) > 0; {
		rec, next, err := frame.NextRecord(rest)
		if err != nil {
			return nil, err
		}
		e.count += rec.Count
		rest = next
	}
	return e, nil
}
