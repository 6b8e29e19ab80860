package matcher

import (
	"math/bits"
	"math/rand/v2"
)

// index finds the number of a set: open addressing with linear probing. A Go map
// does the same, but hashes and compares through its type, at three times the cost,
// and every submission looks a set up.
type index struct {
	seed  uint64 // else whoever names capabilities could choose sets that collide
	slots [4 * MaxShapes]uint16
}

func newIndex() index { return index{seed: rand.Uint64()} }

// hash mixes a set with the index's seed, by multiply and fold as wyhash does.
func (x *index) hash(set *Set) uint64 {
	const a, b, c = 0x9e3779b97f4a7c15, 0xd1b54a32d192ed03, 0x8bb84b93962eacc9
	hi, lo := bits.Mul64(set[0]^x.seed^a, set[1]^b)
	hi2, lo2 := bits.Mul64(set[2]^x.seed^c, set[3]^a)
	hi, lo = bits.Mul64(hi^lo^x.seed, hi2^lo2^b)
	return hi ^ lo
}

// find returns the number of set among sets or, if it has none, the slot that put
// must be told.
func (x *index) find(sets []Set, set Set) (n uint32, slot int, ok bool) {
	for slot = int(x.hash(&set) % uint64(len(x.slots))); ; slot = (slot + 1) % len(x.slots) {
		n := x.slots[slot]
		if n == 0 {
			return 0, slot, false
		}
		if sets[n-1] == set {
			return uint32(n - 1), slot, true
		}
	}
}

func (x *index) put(slot int, n uint32) { x.slots[slot] = uint16(n + 1) }

// rebuild indexes sets anew, after one of them was replaced.
func (x *index) rebuild(sets []Set) {
	x.slots = [len(x.slots)]uint16{}
	for n, set := range sets {
		_, slot, _ := x.find(sets, set)
		x.put(slot, uint32(n))
	}
}
