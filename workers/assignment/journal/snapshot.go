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

// Snapshot stores the state after sequence seq, makes it the partition's snapshot
// and trims the log up to seq, the last two in one script. seq is one that this
// owner was given.
func (l *Log) Snapshot(ctx context.Context, seq uint64, state io.Reader) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq < l.first || seq > l.seq {
		return fmt.Errorf("seq is %d: want one that this owner was given, %d to %d", seq, l.first, l.seq)
	}
	buf := make([]byte, chunkBytes+4)
	sums := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, seq), l.epoch)
	chunks := 0
	for {
		n, err := io.ReadFull(state, buf[:chunkBytes])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("read the state: %w", err)
		}
		if n == 0 && chunks > 0 {
			break
		}
		chunk := binary.BigEndian.AppendUint32(buf[:n], codec.Checksum(buf[:n]))
		sums = append(sums, chunk[n:]...)
		if err := l.call(ctx, &l.link, chunkScript, []string{l.owner, l.log, l.snap, l.next}, l.epoch, chunks, chunk); err != nil {
			return err
		}
		chunks++
		if n < chunkBytes {
			break
		}
	}
	return l.call(ctx, &l.link, flipScript, []string{l.owner, l.log, l.snap, l.next},
		l.epoch, seq, l.epoch, chunks, fmt.Sprintf("%08x", codec.Checksum(sums)))
}
