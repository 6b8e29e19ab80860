package partition

// archivedMost bounds the ids in one record.
const archivedMost = 4096

// offer is a finished task as Unarchived has answered it.
type offer struct {
	*entry
	finished int64
}

// Unarchived answers up to most finished tasks that the archive has not confirmed,
// oldest first, without what Redis keeps of them. Their bodies, with those, are bytes, or
// with the last task more.
func (s *State) Unarchived(most, bytes int) []Task {
	s.offered = s.offered[:0]
	out := make([]Task, 0, min(most, len(s.unarchived)))
	for _, e := range s.unarchived {
		if len(out) == most || bytes <= 0 {
			break
		}
		if e.waitsForArchive() {
			s.offered = append(s.offered, offer{e, e.Finished})
			out = append(out, e.Task)
			bytes -= len(e.Payload) + len(e.Result) + e.stored.size()
		}
	}
	return out
}

// waitsForArchive is false for one that was put back since it was listed.
func (e *entry) waitsForArchive() bool { return e.Phase.Finished() && !e.archived }

// Archived confirms the first n of what Unarchived has answered last, and not what has
// ended a second time since. The next owner knows it too.
func (s *State) Archived(n int) {
	var ids []TaskID
	for _, o := range s.offered[:min(n, len(s.offered))] {
		if o.waitsForArchive() && o.Finished == o.finished {
			s.preserve(o.entry)
			o.archived = true
			o.queue.stats.Archived++
			ids = append(ids, o.ID)
		}
	}
	clear(s.offered)
	s.offered = s.offered[:0]
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
