package partition

import (
	"bytes"
	"slices"
)

// A Page is asked for: tasks of a queue and a phase (none: all) whose ID follows After.
type Page struct {
	Queue string
	Phase Phase
	After TaskID
	Most  int
}

func (p *Page) has(e *entry) bool {
	return (p.Phase == 0 || e.Phase == p.Phase) && (p.Queue == "" || e.Queue == p.Queue) && bytes.Compare(e.ID[:], p.After[:]) > 0
}

// List answers a page in order of ID, which is nearly that of arrival, without payloads
// and results. What runs and dead letters are gone through by themselves; for the rest
// every task that is kept is looked at.
func (s *State) List(p Page) []Task {
	var found []*entry
	add := func(e *entry) {
		if p.has(e) {
			found = append(found, e)
		}
	}
	switch p.Phase {
	case Running:
		s.leases.each(add)
	case Dead:
		s.letters.each(add)
	default:
		for _, e := range s.tasks {
			add(e)
		}
	}
	slices.SortFunc(found, func(a, b *entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	found = found[:min(len(found), p.Most)]
	out := make([]Task, len(found))
	for i, e := range found {
		out[i] = e.Task
		out[i].Payload, out[i].Result, out[i].stored = nil, nil, nil
	}
	return out
}

func (l *line) each(do func(*entry)) {
	for e := l.head; e != nil; e = e.next {
		do(e)
	}
}
