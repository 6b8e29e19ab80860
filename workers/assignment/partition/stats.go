package partition

// Stats are one queue's counters. All but Waiting and Running only grow; those are
// what the queue holds now.
type Stats struct {
	Queue string
	// Submitted counts distinct tasks stored.
	Submitted uint64
	// Executions counts executions started.
	Executions uint64
	// Completed counts results accepted: one per task at most.
	Completed uint64
	// FailedAttempts and LostAttempts count executions that cost an attempt, Released
	// those that were given back and cost none.
	FailedAttempts, LostAttempts, Released uint64
	// Dead counts dead letters for want of attempts, Expired those for their deadline.
	Dead, Expired, Cancelled uint64
	// Redriven counts dead letters put back, Archived finished tasks that the archive
	// has confirmed.
	Redriven, Archived uint64
	// DuplicatesAnswered, DuplicatesRefused and LateRefused count what changed nothing:
	// they are kept from snapshot to snapshot, so a crash may forget the last of them.
	DuplicatesAnswered, DuplicatesRefused, LateRefused uint64

	Waiting, Running uint64
}

// kept are the counters that a snapshot keeps, in its order: add at the end only.
func (s *Stats) kept() []*uint64 {
	return []*uint64{
		&s.Submitted, &s.Executions, &s.Completed, &s.FailedAttempts, &s.LostAttempts, &s.Released,
		&s.Dead, &s.Expired, &s.Cancelled, &s.DuplicatesAnswered, &s.DuplicatesRefused, &s.LateRefused,
		&s.Redriven, &s.Archived,
	}
}

// moved counts a task that left one phase and entered another; 0 is none.
func (s *Stats) moved(from, to Phase) {
	switch from {
	case Waiting:
		s.Waiting--
	case Running:
		s.Running--
	}
	switch to {
	case Waiting:
		s.Waiting++
	case Running:
		s.Running++
	}
}

// ended counts why an execution, or a task's waiting, ended.
func (s *Stats) ended(c cause, to Phase) {
	switch c {
	case causeCompleted:
		s.Completed++
	case causeFailed:
		s.FailedAttempts++
	case causeLost:
		s.LostAttempts++
	case causeReleased:
		s.Released++
	case causeExpired:
		s.Expired++
	case causeCancelled:
		s.Cancelled++
	}
	if to == Dead && c != causeExpired {
		s.Dead++
	}
}

// Add sums another queue's counters into s.
func (s *Stats) Add(o *Stats) {
	theirs := o.kept()
	for i, mine := range s.kept() {
		*mine += *theirs[i]
	}
	s.Waiting += o.Waiting
	s.Running += o.Running
}
