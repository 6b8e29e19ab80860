package partition

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/leanvibe/hive/workers/assignment/codec"
)

// wholeSize is about what a task takes in a snapshot without its key and bodies, in bytes.
const wholeSize = 192

// snapshot encodes the whole state: each record behind its length.
func (s *State) snapshot() []byte {
	var w writer
	// A buffer that grew to this size would be copied several times over, in the partition's turn.
	out := writer{make([]byte, 0, s.bytes-len(s.tasks)*(taskSize-wholeSize))}
	put := func() {
		out.bytes(w.buf)
		w.buf = w.buf[:0]
	}
	var archived []TaskID
	flush := func() {
		if len(archived) > 0 {
			w.archived(archived)
			put()
			archived = archived[:0]
		}
	}
	for _, e := range s.tasks {
		w.whole(&e.Task)
		put()
		if !e.archived {
			continue
		}
		if archived = append(archived, e.ID); len(archived) == archivedMost {
			flush()
		}
	}
	flush()
	// Last, because they count what the records before them tell again.
	for _, q := range s.queues {
		w.counters(&q.stats)
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
