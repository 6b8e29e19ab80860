// Package place says which partition a queue is in: one definition for the server and for
// clients that go to a partition's owner themselves.
package place

// The parameters of FNV-1a with 32 bits.
const (
	offset = 2166136261
	prime  = 16777619
)

// Of answers the partition of a queue, from 0, where there are so many partitions (at
// least 1). Tasks are stored by it: it must never change.
func Of(queue string, partitions int) int {
	h := uint32(offset)
	for i := range len(queue) {
		h = (h ^ uint32(queue[i])) * prime
	}
	return int(h % uint32(partitions))
}
