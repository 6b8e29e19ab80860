package journal

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/workers/assignment/codec"
)

// recoverPage is how many log entries one read asks for.
const recoverPage = 64

// Record is one entry of the log: a batch, or a takeover and then without records.
type Record struct {
	Epoch, Seq uint64
	Owner      string // who took over, in a takeover record
	Records    [][]byte
}

// Recover hands the snapshot, if there is one, to restore, and each record after it
// to replay, in order. Each is verified before it is handed out; a *CorruptError
// ends the recovery at what is missing or damaged. Its time grows with the
// snapshot and the log behind it, not with what was ever appended. Neither function
// may call the Log. A lost connection is made anew until ctx ends.
func (l *Log) Recover(ctx context.Context, restore func(io.Reader) error, replay func(Record) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq, epoch, err := l.restore(ctx, restore)
	if err != nil {
		return err
	}
	for seq < l.seq {
		from := strconv.FormatUint(seq+1, 10) + "-0"
		var page []redis.XMessage
		err := l.link.read(ctx, func(c *redis.Conn) (err error) {
			page, err = c.XRangeN(ctx, l.log, from, strconv.FormatUint(l.seq, 10)+"-0", recoverPage).Result()
			return err
		})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return &CorruptError{l.log, seq + 1, "is missing"}
		}
		for _, m := range page {
			r, err := l.verify(m, seq+1, epoch)
			if err != nil {
				return err
			}
			if err := replay(r); err != nil {
				return err
			}
			seq, epoch = r.Seq, r.Epoch
		}
	}
	return nil
}

func (l *Log) verify(m redis.XMessage, seq, epoch uint64) (Record, error) {
	bad := func(format string, args ...any) (Record, error) {
		return Record{}, &CorruptError{l.log, seq, fmt.Sprintf(format, args...)}
	}
	if m.ID != strconv.FormatUint(seq, 10)+"-0" {
		return bad("is missing; the next entry is %s", m.ID)
	}
	text := func(field string) string { s, _ := m.Values[field].(string); return s }
	r := Record{Seq: seq}
	var err error
	if r.Epoch, err = strconv.ParseUint(text("e"), 10, 64); err != nil {
		return bad("epoch %q is no number", text("e"))
	}
	_, takeover := m.Values["t"]
	if r.Epoch < epoch || (takeover && r.Epoch == epoch) || (!takeover && r.Epoch != epoch) {
		return bad("epoch %d follows epoch %d", r.Epoch, epoch)
	}
	if takeover {
		r.Owner = text("t")
		if fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "%d:%d:%s", seq, r.Epoch, r.Owner))) != text("d") {
			return bad("takeover record does not match its digest")
		}
		return r, nil
	}
	blob := []byte(text("b"))
	batch, err := codec.Decode(blob)
	if err != nil {
		return bad("%v", err)
	}
	if batch.Seq != seq || batch.Epoch != r.Epoch || fmt.Sprintf("%08x", binary.BigEndian.Uint32(blob[len(blob)-4:])) != text("d") {
		return bad("batch belongs to sequence %d of epoch %d", batch.Seq, batch.Epoch)
	}
	r.Records = batch.Records
	return r, nil
}

// restore hands out the snapshot and answers what it covers; 0 without one.
func (l *Log) restore(ctx context.Context, restore func(io.Reader) error) (seq, epoch uint64, err error) {
	var head []any
	err = l.link.read(ctx, func(c *redis.Conn) (err error) {
		head, err = c.HMGet(ctx, l.snap, "seq", "epoch", "chunks", "digest").Result()
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	if head[0] == nil && head[3] == nil {
		return 0, 0, nil
	}
	var n [3]uint64
	for i := range n {
		if n[i], err = strconv.ParseUint(fmt.Sprint(head[i]), 10, 64); err != nil {
			return 0, 0, &CorruptError{l.snap, n[0], "head is damaged: " + err.Error()}
		}
	}
	r := &chunkReader{ctx: ctx, log: l, seq: n[0], chunks: n[2], digest: fmt.Sprint(head[3])}
	r.sums = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n[0]), n[1])
	if err := restore(r); err != nil {
		return 0, 0, err
	}
	// What restore left unread is verified too.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return 0, 0, err
	}
	return n[0], n[1], nil
}

// chunkReader reads a snapshot chunk by chunk and verifies each, and at the end all.
type chunkReader struct {
	ctx          context.Context
	log          *Log
	seq          uint64
	next, chunks uint64
	digest       string
	sums, rest   []byte
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.next == r.chunks {
			if fmt.Sprintf("%08x", codec.Checksum(r.sums)) != r.digest {
				return 0, &CorruptError{r.log.snap, r.seq, "snapshot does not match its digest"}
			}
			return 0, io.EOF
		}
		var b []byte
		err := r.log.link.read(r.ctx, func(c *redis.Conn) (err error) {
			b, err = c.HGet(r.ctx, r.log.snap, strconv.FormatUint(r.next, 10)).Bytes()
			return err
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return 0, err
		}
		n := len(b) - 4
		if n < 0 || codec.Checksum(b[:n]) != binary.BigEndian.Uint32(b[n:]) {
			return 0, &CorruptError{r.log.snap, r.seq, fmt.Sprintf("chunk %d of the snapshot is missing or damaged", r.next)}
		}
		r.sums = append(r.sums, b[n:]...)
		r.rest = b[:n]
		r.next++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
