package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/leanvibe/hive/workers/assignment/codec"
)

// chunkBytes bounds what one snapshot write holds Redis up for.
const chunkBytes = 1 << 20

// SnapshotWriter writes a snapshot chunk by chunk, with appends between them: one writer
// at a time.
type SnapshotWriter struct {
	log    *Log
	seq    uint64
	sums   []byte
	chunks int
	buf    []byte
}

// NewSnapshot begins a snapshot of the state after sequence seq, which is one that this
// owner was given. Nothing is written yet.
func (l *Log) NewSnapshot(seq uint64) (*SnapshotWriter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq < l.first || seq > l.seq {
		return nil, fmt.Errorf("seq is %d: want one that this owner was given, %d to %d", seq, l.first, l.seq)
	}
	sums := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, seq), l.epoch)
	return &SnapshotWriter{log: l, seq: seq, sums: sums}, nil
}

// Write stores the next part of the state.
func (w *SnapshotWriter) Write(ctx context.Context, part []byte) error {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	for len(part) > 0 {
		n := min(len(part), chunkBytes)
		if err := w.chunk(ctx, part[:n]); err != nil {
			return err
		}
		part = part[n:]
	}
	return nil
}

func (w *SnapshotWriter) chunk(ctx context.Context, part []byte) error {
	l := w.log
	w.buf = append(w.buf[:0], part...)
	w.buf = binary.BigEndian.AppendUint32(w.buf, codec.Checksum(part))
	w.sums = append(w.sums, w.buf[len(part):]...)
	if err := l.call(ctx, &l.link, chunkScript, []string{l.owner, l.log, l.snap, l.next}, l.epoch, w.chunks, w.buf); err != nil {
		return err
	}
	w.chunks++
	return nil
}

// Finish makes what was written the partition's snapshot and trims the log up to its
// sequence, in one script.
func (w *SnapshotWriter) Finish(ctx context.Context) error {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.chunks == 0 {
		if err := w.chunk(ctx, nil); err != nil {
			return err
		}
	}
	return l.call(ctx, &l.link, flipScript, []string{l.owner, l.log, l.snap, l.next},
		l.epoch, w.seq, l.epoch, w.chunks, fmt.Sprintf("%08x", codec.Checksum(w.sums)))
}

// Snapshot stores the state after sequence seq at once: NewSnapshot, Write and Finish.
func (l *Log) Snapshot(ctx context.Context, seq uint64, state io.Reader) error {
	w, err := l.NewSnapshot(seq)
	if err != nil {
		return err
	}
	buf := make([]byte, chunkBytes)
	for {
		n, err := io.ReadFull(state, buf)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("read the state: %w", err)
		}
		if err := w.Write(ctx, buf[:n]); err != nil {
			return err
		}
		if n < chunkBytes {
			return w.Finish(ctx)
		}
	}
}
