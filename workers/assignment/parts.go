package assignment

import (
	"sync"

	"github.com/leanvibe/hive/workers/assignment/route"
)

// parts cuts a list into what each partition gets of it, and remembers the places.
type parts[T any] struct {
	of   []part[T]
	most int // of items in all of them
}

type part[T any] struct {
	places []int
	items  []T
}

func newParts[T any](partitions, most int) parts[T] {
	return parts[T]{make([]part[T], partitions), most}
}

func (p parts[T]) add(n, place int, item T) {
	of := &p.of[n]
	if of.items == nil { // most lists are of one partition
		of.places, of.items = make([]int, 0, p.most), make([]T, 0, p.most)
	}
	of.places, of.items = append(of.places, place), append(of.items, item)
}

// each does something with every part that is not empty, side by side: first begin with all
// of them, then wait for each.
func (p parts[T]) each(begin func(n int, places []int, items []T) route.Pending) {
	var waits []func()
	var elsewhere sync.WaitGroup
	for n := range p.of {
		if len(p.of[n].items) == 0 {
			continue
		}
		if call := begin(n, p.of[n].places, p.of[n].items); call.Here {
			waits = append(waits, call.Wait)
		} else {
			elsewhere.Go(call.Wait)
		}
	}
	for _, wait := range waits {
		wait()
	}
	elsewhere.Wait()
}
