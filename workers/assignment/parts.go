package assignment

import "sync"

// parts cuts a list into what each partition gets of it, and remembers the places.
type parts[T any] []part[T]

type part[T any] struct {
	places []int
	items  []T
}

func newParts[T any](partitions int) parts[T] { return make(parts[T], partitions) }

func (p parts[T]) add(n, place int, item T) {
	p[n].places = append(p[n].places, place)
	p[n].items = append(p[n].items, item)
}

// each does something with every part that is not empty, side by side.
func (p parts[T]) each(do func(n int, places []int, items []T)) {
	only, count := 0, 0
	for n := range p {
		if len(p[n].items) > 0 {
			only = n
			count++
		}
	}
	if count == 1 { // what most calls are
		do(only, p[only].places, p[only].items)
		return
	}
	var all sync.WaitGroup
	for n := range p {
		if len(p[n].items) > 0 {
			all.Go(func() { do(n, p[n].places, p[n].items) })
		}
	}
	all.Wait()
}
