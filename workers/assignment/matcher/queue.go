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
	needs   shapeBits // needs with a waiting task
	keys    []int64   // per need: the smallest key, kept dense because every choice scans it
	heads   []uint32  // per need: the task with that key
	lanes   []uint32  // per need: its lane, 0 while nothing waits
}

// lane holds the waiting tasks of one queue and one need, by priority. Arrivals
// never decrease, so each list is in order of key by construction.
type lane struct {
	// keys are those of the heads, none for an empty list: the tasks themselves
	// are scattered over memory, and a choice must not fetch one per priority.
	keys       [MaxPriority + 1]int64
	byPriority [MaxPriority + 1]list
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
func (m *Matcher) enqueue(i uint32, front bool) {
	t := &m.tasks[i]
	q := &m.queues[t.queue]
	for int(t.need) >= len(q.keys) {
		q.keys = append(q.keys, none)
		q.heads = append(q.heads, 0)
		q.lanes = append(q.lanes, 0)
	}
	if q.lanes[t.need] == 0 {
		q.lanes[t.need] = m.takeLane()
		q.needs.set(uint32(t.need))
	}
	ln := &m.lanes[q.lanes[t.need]]
	l := &ln.byPriority[t.priority]
	t.state, t.next, t.prev = waiting, 0, 0
	switch {
	case l.head == 0:
		l.head, l.tail = i, i
		m.setHead(q, t.need, ln, t.priority, t.key)
	case front:
		// Order by construction: a returned task is no later than the head.
		t.key = min(t.key, ln.keys[t.priority])
		t.next, m.tasks[l.head].prev, l.head = l.head, i, i
		m.setHead(q, t.need, ln, t.priority, t.key)
	default:
		t.prev, m.tasks[l.tail].next, l.tail = l.tail, i, i
	}
	q.waiting++
	m.stats.Waiting++
}

// dequeue takes task slot i out of its lane. Its queue and need are given although
// the task has them: the processor fetches task and lane at once.
func (m *Matcher) dequeue(i, in uint32, need uint16) {
	t := &m.tasks[i]
	q := &m.queues[in]
	ln := &m.lanes[q.lanes[need]]
	l := &ln.byPriority[t.priority]
	if t.next == 0 {
		l.tail = t.prev
	} else {
		m.tasks[t.next].prev = t.prev
	}
	q.waiting--
	m.stats.Waiting--
	if t.prev != 0 {
		m.tasks[t.prev].next = t.next
		return
	}
	l.head = t.next
	key := int64(none)
	if t.next != 0 {
		key = m.tasks[t.next].key
	}
	m.setHead(q, need, ln, t.priority, key)
	if q.keys[need] == none {
		q.needs.clear(uint32(need))
		m.freeLanes = append(m.freeLanes, q.lanes[need])
		q.lanes[need] = 0
	}
}

// setHead records the key of a list's head and which list of the lane comes
// first: the smallest key, at equal keys the higher priority.
func (m *Matcher) setHead(q *queue, need uint16, ln *lane, priority uint8, key int64) {
	ln.keys[priority] = key
	best := MaxPriority
	for p := MaxPriority - 1; p >= 0; p-- {
		if ln.keys[p] < ln.keys[best] {
			best = p
		}
	}
	m.stats.Comparisons += MaxPriority
	q.keys[need], q.heads[need] = ln.keys[best], ln.byPriority[best].head
}

// taskFor returns the slot of the best waiting task for an agent shape with its
// queue and need, 0 if there is none, and moves the turn of that shape.
func (m *Matcher) taskFor(skill uint32) (i, in uint32, need uint16) {
	if m.stats.Waiting == 0 {
		return 0, 0, 0
	}
	p := &m.pools[skill]
	fits := m.skills.fits[skill]
	q := p.turn
	if p.left == 0 {
		q++
	}
	for range m.queues {
		if int(q) >= len(m.queues) {
			q = 0
		}
		if need := m.bestOf(&m.queues[q], fits); need >= 0 {
			if q != p.turn || p.left == 0 {
				p.turn, p.left = q, m.queues[q].weight
			}
			p.left--
			return m.queues[q].heads[need], q, uint16(need)
		}
		// What was left of a turn is forfeited with it.
		p.left = 0
		q++
	}
	return 0, 0, 0
}

// bestOf returns the need with the smallest key among those of fits, -1 if none
// of them waits in q.
func (m *Matcher) bestOf(q *queue, fits *shapeBits) int {
	if q.waiting == 0 {
		return -1
	}
	best, bestKey := -1, int64(none)
	for w := range (len(q.keys) + 63) / 64 {
		word := fits[w] & q.needs[w]
		m.stats.Comparisons += uint64(bits.OnesCount64(word))
		for ; word != 0; word &= word - 1 {
			n := w<<6 + bits.TrailingZeros64(word)
			// What waits has a key below none.
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
