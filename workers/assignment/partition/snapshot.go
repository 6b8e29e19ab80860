package partition

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/leanvibe/hive/workers/assignment/codec"
)

// snapshot encodes the whole state: each record behind its length.
func (s *State) snapshot() []byte {
	var w, out writer
	put := func() {
		out.bytes(w.buf)
		w.buf = w.buf[:0]
	}
	for _, q := range s.queues {
		w.counters(&q.stats)
		put()
	}
	for _, e := range s.tasks {
		w.whole(&e.Task)
		put()
	}
	return out.buf
}

// restore applies a snapshot.
func (s *State) restore(from io.Reader) error {
	r := bufio.NewReaderSize(from, 1<<16)
	for i := 0; ; i++ {
		size, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if size > codec.MaxBytes {
			return &RecordError{Index: i, Why: fmt.Sprintf("it says that it has %d bytes, at most %d are possible", size, codec.MaxBytes)}
		}
		record := make([]byte, size)
		if _, err := io.ReadFull(r, record); err != nil {
			return err
		}
		if err := s.Apply(record); err != nil {
			return &RecordError{Index: i, Why: err.Error()}
		}
	}
}
