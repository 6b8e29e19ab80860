package assignment

import "sync"

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

// each does something with every part that is not empty, side by side.
func (p parts[T]) each(do func(n int, places []int, items []T)) {
	only, count := 0, 0
	for n := range p.of {
		if len(p.of[n].items) > 0 {
			only = n
			count++
		}
	}
	if count == 1 { // what most calls are
		do(only, p.of[only].places, p.of[only].items)
		return
	}
	var all sync.WaitGroup
	for n := range p.of {
		if len(p.of[n].items) > 0 {
			all.Go(func() { do(n, p.of[n].places, p.of[n].items) })
		}
	}
	all.Wait()
}
