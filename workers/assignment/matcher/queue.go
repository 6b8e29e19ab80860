package matcher

import (
	"math"
	"math/bits"
)

// MaxWeight bounds the weight of a queue.
const MaxWeight = 1000

// A QueueID is the number of a queue, in the order of AddQueue.
type QueueID uint32

// none is the key of a need without a waiting task.
const none = math.MaxInt64

// queue holds the waiting tasks of one queue, by need.
type queue struct {
	name    string
	weight  uint32
	waiting int
	kinds   int       // how many needs have a waiting task
	needs   shapeBits // which
	keys    []int64   // per need: the smallest key, none while nothing waits; dense because every choice scans it
	fronts  []front   // per need
}

// front is what of a need's waiting tasks a choice takes.
type front struct {
	task uint32 // the one with the smallest key
	lane uint32 // 0 while nothing waits
}

// lane holds the waiting tasks of one queue and one need, by priority. Arrivals
// never decrease, so each list is in order of key by construction. It is three cache
// lines: a choice touches the first two, a submission behind others the third.
type lane struct {
	// keys are those of the heads, none for an empty list: the tasks themselves
	// are scattered over memory, and a choice must not fetch one per priority.
	keys  [MaxPriority + 1]int64
	heads [MaxPriority + 1]uint32
	best  uint8 // the priority that comes first
	_     [7]byte
	tails [MaxPriority + 1]uint32 // 0 for an empty list
	_     [24]byte
}

// emptyLane is what a lane is while nothing waits in it.
func emptyLane() lane {
	var ln lane
	for p := range ln.keys {
		ln.keys[p] = none
	}
	return ln
}

// AddQueue makes a queue that gets weight tasks in each round of an agent shape.
func (m *Matcher) AddQueue(name string, weight int) (QueueID, error) {
	if err := inRange("weight", int64(weight), 1, MaxWeight, "1"); err != nil {
		return 0, err
	}
	if len(m.queues) == m.config.MaxQueues {
		return 0, ErrTooManyQueues
	}
	m.queues = append(m.queues, queue{name: name, weight: uint32(weight)})
	return QueueID(len(m.queues) - 1), nil
}

// enqueue puts task slot i behind those of its lane and priority, or before them.
func (m *Matcher) enqueue(i uint32, ahead bool) {
	t := &m.tasks[i]
	q, need, p := &m.queues[t.queue()], t.need(), t.priority()
	for int(need) >= len(q.keys) {
		q.keys = append(q.keys, none)
		q.fronts = append(q.fronts, front{})
	}
	f := &q.fronts[need]
	if f.lane == 0 {
		f.lane = m.takeLane()
		q.needs.set(need)
		q.kinds++
	}
	ln := &m.lanes[f.lane]
	t.wait()
	switch tail := ln.tails[p]; {
	case tail == 0:
		ln.tails[p] = i
		m.setHead(q, need, ln, p, i, t.key)
	case ahead:
		// Order by construction: a returned task is no later than the head.
		t.key = min(t.key, ln.keys[p])
		t.next, t.nextKey = ln.heads[p], ln.keys[p]
		m.tasks[t.next].prev = i
		m.setHead(q, need, ln, p, i, t.key)
	default:
		t.prev, ln.tails[p] = tail, i
		last := &m.tasks[tail]
		last.next, last.nextKey = i, t.key
	}
	q.waiting++
	m.stats.Waiting++
}

// setHead makes task slot i with this key the head of a list, which gets a smaller
// key by it or was empty.
func (m *Matcher) setHead(q *queue, need uint32, ln *lane, priority uint8, i uint32, key int64) {
	ln.heads[priority], ln.keys[priority] = i, key
	best := q.keys[need]
	m.stats.Comparisons++
	if key < best || key == best && priority >= ln.best {
		ln.best, q.keys[need], q.fronts[need].task = priority, key, i
	}
}

// dequeue takes the waiting task slot i out of its lane.
func (m *Matcher) dequeue(i uint32) {
	t := &m.tasks[i]
	q, need, p := &m.queues[t.queue()], t.need(), t.priority()
	ln := &m.lanes[q.fronts[need].lane]
	if ln.heads[p] == i {
		m.pop(q, need, ln, p)
		return
	}
	prev := &m.tasks[t.prev]
	prev.next, prev.nextKey = t.next, t.nextKey
	if t.next == 0 {
		ln.tails[p] = t.prev
	} else {
		m.tasks[t.next].prev = t.prev
	}
	q.waiting--
	m.stats.Waiting--
}

// pop takes the head off a list. The next one is not touched, which would be a trip
// to memory: its key stands in the task before it, and a head's prev is never read.
func (m *Matcher) pop(q *queue, need uint32, ln *lane, priority uint8) {
	t := &m.tasks[ln.heads[priority]]
	ln.heads[priority], ln.keys[priority] = t.next, t.nextKey
	if t.next == 0 {
		ln.tails[priority] = 0
	}
	best, bestKey := uint8(MaxPriority), ln.keys[MaxPriority]
	for p := MaxPriority - 1; p >= 0; p-- {
		// At equal keys the higher priority comes first.
		if key := ln.keys[p]; key < bestKey {
			best, bestKey = uint8(p), key
		}
	}
	m.stats.Comparisons += MaxPriority
	ln.best, q.keys[need] = best, bestKey
	f := &q.fronts[need]
	f.task = ln.heads[best]
	if bestKey == none {
		m.freeLanes = append(m.freeLanes, f.lane)
		f.lane = 0
		q.needs.clear(need)
		q.kinds--
	}
	q.waiting--
	m.stats.Waiting--
}

// take returns the slot of the best waiting task for an agent shape and takes it
// out of its lane, 0 if there is none, and moves the turn of that shape.
func (m *Matcher) take(skill uint32) uint32 {
	if m.stats.Waiting == 0 {
		return 0
	}
	p := &m.pools[skill]
	n := p.turn
	if p.left == 0 {
		n++
	}
	for range m.queues {
		if int(n) >= len(m.queues) {
			n = 0
		}
		q := &m.queues[n]
		if need := m.bestOf(q, skill); need >= 0 {
			if n != p.turn || p.left == 0 {
				p.turn, p.left = n, q.weight
			}
			p.left--
			f := q.fronts[need]
			ln := &m.lanes[f.lane]
			m.pop(q, uint32(need), ln, ln.best)
			return f.task
		}
		// What was left of a turn is forfeited with it.
		p.left = 0
		n++
	}
	return 0
}

// bestOf returns the need with the smallest key among those that an agent shape
// satisfies, the first of several, -1 if none of them waits in q.
func (m *Matcher) bestOf(q *queue, skill uint32) int {
	if q.waiting == 0 {
		return -1
	}
	needs := m.pools[skill].needs
	if q.kinds*sparse <= len(needs) {
		return m.bestOfFew(q, m.skills.fits[skill])
	}
	best, bestKey := -1, int64(none)
	m.stats.Comparisons += uint64(len(needs)) // those of which nothing waits too: they are looked at
	for _, n := range needs {
		if int(n) >= len(q.keys) {
			break // these have never waited in q
		}
		// What waits has a key below none.
		if key := q.keys[n]; key < bestKey {
			best, bestKey = int(n), key
		}
	}
	return best
}

// sparse is how many keys in a row cost what one picked by its bit does: a step of a
// plain loop beside a branch that the processor cannot foresee.
const sparse = 8

// bestOfFew is bestOf for a queue in which few needs wait.
func (m *Matcher) bestOfFew(q *queue, fits *shapeBits) int {
	best, bestKey := -1, int64(none)
	for w := range (len(q.keys) + 63) / 64 {
		word := fits[w] & q.needs[w]
		m.stats.Comparisons += uint64(bits.OnesCount64(word))
		for ; word != 0; word &= word - 1 {
			n := w<<6 + bits.TrailingZeros64(word)
			if key := q.keys[n]; key < bestKey {
				best, bestKey = n, key
			}
		}
	}
	return best
}

func (m *Matcher) takeLane() uint32 {
	if n := len(m.freeLanes); n > 0 {
		i := m.freeLanes[n-1]
		m.freeLanes = m.freeLanes[:n-1]
		return i
	}
	m.lanes = append(m.lanes, emptyLane())
	return uint32(len(m.lanes) - 1)
}
