package messaging

import (
	"crypto/sha256"
	"encoding/binary"
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
	// Either producer and number of the first message, or the id of the only one.
	producer string
	seq      uint64
	id       string
	count    uint64
	messages []byte // frame.AppendMessage, count times

	sender any // from and producer, as the script knows them; a string
	first  uint64
	taken  time.Time
	held   int // bytes counted as waiting
	done   func(*chunk, outcome)
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

// numbered tells whether the chunk is known by its producer's numbers, not by an id.
func (c *chunk) numbered() bool { return c.seq > 0 }

// digest is what tells another body under the same id.
func (c *chunk) digest() string {
	sum := sha256.Sum256(c.messages)
	return "x" + hex.EncodeToString(sum[:8])
}

// senderOf is the name under which a producer's numbers are kept.
func senderOf(from, producer string) string { return from + ":" + producer }

// headMost bounds what a record has beside names and messages, in bytes.
const headMost = 6 * binary.MaxVarintLen64

// size is what the chunk's record takes, or a little more.
func (c *chunk) size() int { return len(c.from) + len(c.producer) + len(c.messages) + headMost }

// append writes the record that will be stored behind b.
func (c *chunk) append(b []byte) []byte {
	return frame.AppendRecord(b, &frame.Record{
		From: c.from, Producer: c.producer, Seq: c.seq, AtMicros: uint64(c.taken.UnixMicro()), Count: c.count, Messages: c.messages,
	})
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
		rec, next, err := frame.SkipRecord(rest)
		if err != nil {
			return nil, err
		}
		e.count += rec.Count
		rest = next
	}
	return e, nil
}
