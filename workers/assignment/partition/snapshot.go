package partition

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/leanvibe/hive/workers/assignment/codec"
)

const (
	// chunkSize is how much of a snapshot is written at once, about, in bytes: what an append
	// waits for.
	chunkSize = 256 << 10
	// chunkTasks bounds the tasks that are encoded in one turn.
	chunkTasks = 64
)

// picturing is a snapshot that is being taken: of the state as it stood when it began, a
// piece at a time, while the state goes on. A task that changes before its turn has come is
// encoded first (see State.preserve).
type picturing struct {
	number   uint32 // tasks of this number or a higher one are in it, or came after it began
	next     func() ([]*entry, bool)
	stop     func()
	w        writer // one record
	chunk    writer // records behind their lengths
	spare    []byte // for the next chunk
	archived []TaskID
	counters []byte // last, because they count what the records before them tell again
	over     bool
}

// picture begins a snapshot, of which size tasks are encoded at a time. One at a time is taken.
func (s *State) picture(size int) {
	s.pictures++
	p := &picturing{number: s.pictures}
	p.next, p.stop = iter.Pull(s.groups(size))
	for _, q := range s.queues {
		p.w.counters(&q.stats)
		p.put()
	}
	p.counters, p.chunk = p.chunk.buf, writer{}
	s.picturing = p
}

// groups goes through all tasks, size at a time. One that is gone by then is left out, one
// that has come meanwhile may be there or not.
func (s *State) groups(size int) iter.Seq[[]*entry] {
	return func(yield func([]*entry) bool) {
		group := make([]*entry, 0, size)
		for _, e := range s.tasks {
			if group = append(group, e); len(group) == size {
				if !yield(group) {
					return
				}
				group = group[:0]
			}
		}
		yield(group)
	}
}

// develop goes on with the snapshot that is being taken, if there is one and its chunk has
// room, and tells whether there is more to do.
func (s *State) develop() (more bool) {
	p := s.picturing
	if p == nil || p.full() {
		return false
	}
	group, more := p.next()
	for _, e := range group {
		s.preserve(e)
	}
	if p.over = !more; p.over {
		p.list()
		p.chunk.buf = append(p.chunk.buf, p.counters...)
	}
	return !p.full()
}

// full tells that a chunk is there to be written, or the last.
func (p *picturing) full() bool { return p.over || len(p.chunk.buf) >= chunkSize }

// chunk answers the next chunk of the snapshot that is being taken, nil where there is none
// yet, and whether it is the last: then the snapshot is taken.
func (s *State) chunk() (chunk []byte, last bool) {
	p := s.picturing
	if p == nil || !p.full() {
		return nil, false
	}
	chunk, p.chunk.buf, p.spare = p.chunk.buf, p.spare[:0], nil
	if p.over {
		s.expose()
		return chunk, true
	}
	return chunk, false
}

// written gives the memory of a chunk back.
func (s *State) written(chunk []byte) {
	if s.picturing != nil {
		s.picturing.spare = chunk
	}
}

// expose gives the snapshot that is being taken up.
func (s *State) expose() {
	if s.picturing != nil {
		s.picturing.stop()
		s.picturing = nil
	}
}

// preserve encodes a task for the snapshot that is being taken, unless it is in it already
// or came after it began. It comes before whatever changes of the task that is in records.
func (s *State) preserve(e *entry) {
	p := s.picturing
	if p == nil || e.pictured >= p.number {
		return
	}
	e.pictured = p.number
	p.w.whole(&e.Task)
	p.put()
	if e.archived {
		if p.archived = append(p.archived, e.ID); len(p.archived) == archivedMost {
			p.list()
		}
	}
}

// list tells which of the tasks are archived.
func (p *picturing) list() {
	if len(p.archived) > 0 {
		p.w.archived(p.archived)
		p.put()
		p.archived = p.archived[:0]
	}
}

func (p *picturing) put() {
	p.chunk.bytes(p.w.buf)
	p.w.buf = p.w.buf[:0]
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
