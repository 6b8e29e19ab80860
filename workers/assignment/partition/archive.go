package partition

import "slices"

// archivedMost bounds the ids in one record.
const archivedMost = 4096

// offer is a finished task as Unarchived has answered it.
type offer struct {
	*entry
	finished int64
}

// Unarchived appends to out up to most finished tasks that the archive has not confirmed and
// that were not offered yet, oldest first, without what Redis keeps of them, and answers how
// many bytes are left: their bodies, with those, are bytes, or with the last task more.
func (s *State) Unarchived(out []Task, most, bytes int) ([]Task, int) {
	for ; most > 0 && bytes > 0 && s.looked < len(s.unarchived); s.looked++ {
		if e := s.unarchived[s.looked]; e.waitsForArchive() {
			s.offered = append(s.offered, offer{e, e.Finished})
			out = append(out, e.Task)
			bytes -= len(e.Payload) + len(e.Result) + e.stored.size()
			most--
		}
	}
	return out, bytes
}

// Reoffer has all that is not confirmed offered again.
func (s *State) Reoffer() {
	clear(s.offered)
	s.offered, s.looked = s.offered[:0], 0
}

// waitsForArchive is false for one that was put back since it was listed.
func (e *entry) waitsForArchive() bool { return e.Phase.Finished() && !e.archived }

// Archived confirms the first n of what is offered, and not what has ended a second time
// since. The next owner knows it too.
func (s *State) Archived(n int) {
	n = min(n, len(s.offered))
	ids := make([]TaskID, 0, n)
	for _, o := range s.offered[:n] {
		if o.waitsForArchive() && o.Finished == o.finished {
			s.preserve(o.entry)
			o.archived = true
			o.queue.stats.Archived++
			ids = append(ids, o.ID)
		}
	}
	s.offered = slices.Delete(s.offered, 0, n)
	for len(ids) > 0 {
		size := min(len(ids), archivedMost)
		s.changes.w.archived(ids[:size])
		s.changes.seal()
		ids = ids[size:]
	}
	done := 0
	for done < len(s.unarchived) && !s.unarchived[done].waitsForArchive() {
		done++
	}
	clear(s.unarchived[:done])
	s.looked = max(s.looked-done, 0)
	if s.unarchived = s.unarchived[done:]; len(s.unarchived) == 0 {
		s.unarchived = nil // gives the memory of the front back
	}
}

// drop forgets finished tasks that are archived and old, over the number kept, or in the way.
func (s *State) drop(now int64, most int) (more bool) {
	budget := most
	for e := s.kept.head; budget > 0 && e != nil && e.archived && (e.due <= now || s.kept.size > s.limits.Finished || s.tight()); e = s.kept.head {
		s.dropOne(e)
		budget--
	}
	for e := s.letters.head; budget > 0 && e != nil && e.archived && (s.letters.size > s.limits.DeadLetters || s.tight()); e = s.letters.head {
		s.dropOne(e)
		budget--
	}
	return budget == 0
}

// tight tells whether so much is taken, in memory or by the bodies of finished tasks in Redis,
// that what the archive has goes early.
func (s *State) tight() bool {
	return s.limits.Bytes > 0 && max(s.bytes, s.shelved) > s.limits.Bytes/4*3
}

func (s *State) dropOne(e *entry) {
	e.stored.each(e.ID, func(id bodyID, _ ref) { s.changes.drop(id) })
	s.changes.w.forgotten(e.ID)
	s.changes.seal()
	s.forget(e)
}
