package partition

// Unarchived answers up to most finished tasks that the archive has not confirmed,
// oldest first.
func (s *State) Unarchived(most int) []Task {
	list := s.unarchived[:min(most, len(s.unarchived))]
	out := make([]Task, len(list))
	for i, e := range list {
		out[i] = e.Task
	}
	return out
}

// Archived confirms the first n of Unarchived. After a takeover the next owner offers
// them again, as far as they are kept: the archive takes a task twice as once.
func (s *State) Archived(n int) {
	n = min(n, len(s.unarchived))
	for _, e := range s.unarchived[:n] {
		e.archived = true
	}
	clear(s.unarchived[:n])
	s.unarchived = s.unarchived[n:]
	if len(s.unarchived) == 0 {
		s.unarchived = nil // gives the memory of the front back
	}
}

// drop forgets finished tasks that are archived and old, or over the number kept.
func (s *State) drop(now int64, most int) (more bool) {
	for n := 0; ; n++ {
		e := s.kept.head
		if e == nil || !e.archived || e.due > now && s.kept.size <= s.limits.Finished {
			return false
		}
		if n == most {
			return true
		}
		s.changes.w.forgotten(e.ID)
		s.changes.seal()
		s.forget(e)
	}
}
