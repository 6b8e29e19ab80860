package matcher

import (
	"math/bits"
	"slices"
)

// MaxCapacity bounds the tasks that one agent may hold.
const MaxCapacity = 4096

// An AgentID is a handle: a slot and its generation. Zero names no agent.
type AgentID uint64

// Slot answers its place in the table of agents, 1 to Config.MaxAgents.
func (id AgentID) Slot() uint32 { return uint32(id) }

// agent is one slot of the agents' table. Slots with room stand in the list of
// their load in the pool of their shape; free slots in the free list by next. It is
// 32 bytes, so that none lies across two cache lines.
type agent struct {
	since      uint64 // the step at which it was last listed
	next, prev uint32
	generation uint32
	load       uint16
	capacity   uint16
	skill      uint16
	present    bool
	paused     bool
	listed     bool
}

func (a *agent) hasRoom() bool { return a.present && !a.paused && a.load < a.capacity }

// justFull reports whether one task less would give the agent room.
func (a *agent) justFull() bool { return !a.paused && a.load == a.capacity }

// list is a first-in-first-out list through next and prev; 0 ends it.
type list struct{ head, tail uint32 }

// pool holds the agents of one shape.
type pool struct {
	byLoad  []list   // agents with room, by load
	loads   []uint64 // which of byLoad are not empty
	summary uint64   // which of loads are not zero
	agents  int
	full    int
	paused  int
	turn    uint32 // the queue whose turn it is
	left    uint32 // tasks that remain of its turn
	// needs are the shapes of tasks that these agents satisfy, ascending: what
	// skills.fits says, in the form in which a choice goes through it.
	needs []uint16
}

// know makes need one of the pool's, or none of them.
func (p *pool) know(need uint16, fits bool) {
	at, known := slices.BinarySearch(p.needs, need)
	switch {
	case fits && !known:
		p.needs = slices.Insert(p.needs, at, need)
	case known && !fits:
		p.needs = slices.Delete(p.needs, at, at+1)
	}
}

// lowest returns the smallest load with an agent; the pool must have one.
func (p *pool) lowest() uint32 {
	word := bits.TrailingZeros64(p.summary)
	return uint32(word<<6 + bits.TrailingZeros64(p.loads[word]))
}

func (p *pool) grow(capacity int) {
	for len(p.byLoad) < capacity {
		p.byLoad = append(p.byLoad, list{})
	}
	for len(p.loads)*64 < capacity {
		p.loads = append(p.loads, 0)
	}
}

// enlist puts agent slot i at the end of the list of its load, if it has room.
func (m *Matcher) enlist(i uint32) {
	a := &m.agents[i]
	p := &m.pools[a.skill]
	switch {
	case a.paused:
		p.paused++
	case a.load >= a.capacity:
		p.full++
	}
	if !a.hasRoom() {
		return
	}
	m.step++
	a.since = m.step
	l := &p.byLoad[a.load]
	a.next, a.prev, a.listed = 0, l.tail, true
	if l.tail == 0 {
		l.head = i
		p.loads[a.load>>6] |= 1 << (a.load & 63)
		p.summary |= 1 << (a.load >> 6)
		m.open.set(uint32(a.skill))
		m.openWords |= 1 << (a.skill >> 6)
	} else {
		m.agents[l.tail].next = i
	}
	l.tail = i
}

// delist takes agent slot i out of its list, before its load or state changes.
func (m *Matcher) delist(i uint32) {
	a := &m.agents[i]
	p := &m.pools[a.skill]
	switch {
	case a.paused:
		p.paused--
	case a.load >= a.capacity:
		p.full--
	}
	if !a.listed {
		return
	}
	l := &p.byLoad[a.load]
	if a.prev == 0 {
		l.head = a.next
	} else {
		m.agents[a.prev].next = a.next
	}
	if a.next == 0 {
		l.tail = a.prev
	} else {
		m.agents[a.next].prev = a.prev
	}
	a.listed = false
	if l.head != 0 {
		return
	}
	word := a.load >> 6
	p.loads[word] &^= 1 << (a.load & 63)
	if p.loads[word] == 0 {
		p.summary &^= 1 << word
	}
	if p.summary == 0 {
		m.open.clear(uint32(a.skill))
		if m.open[a.skill>>6] == 0 {
			m.openWords &^= 1 << (a.skill >> 6)
		}
	}
}

// agentFor returns the slot of the best agent for a need, 0 if none has room.
func (m *Matcher) agentFor(need uint32) uint32 {
	var best, bestLoad uint32
	fits := m.needs.fits[need]
	for words := m.openWords; words != 0; words &= words - 1 {
		w := bits.TrailingZeros64(words)
		for word := fits[w] & m.open[w]; word != 0; word &= word - 1 {
			p := &m.pools[w<<6+bits.TrailingZeros64(word)]
			load := p.lowest()
			head := p.byLoad[load].head
			m.stats.Comparisons++
			if best == 0 || load < bestLoad ||
				load == bestLoad && m.agents[head].since < m.agents[best].since {
				best, bestLoad = head, load
			}
		}
	}
	return best
}

func (m *Matcher) agent(id AgentID) (*agent, error) {
	i := id.Slot()
	if i == 0 || int(i) >= len(m.agents) || !m.agents[i].present || m.agents[i].generation != uint32(id>>32) {
		return nil, ErrNoAgent
	}
	return &m.agents[i], nil
}

// AddAgent attaches an agent and gives it waiting tasks.
func (m *Matcher) AddAgent(skills Set, capacity int, out []Assignment) (AgentID, []Assignment, error) {
	return m.Reattach(skills, capacity, nil, false, out)
}

// Reattach attaches an agent that still runs tasks, whose former agent was removed,
// and gives it waiting ones as far as those leave it room, unless it is paused. Where
// they are more than its capacity it keeps them and gets nothing new until it is below.
func (m *Matcher) Reattach(skills Set, capacity int, holds []TaskID, paused bool, out []Assignment) (AgentID, []Assignment, error) {
	if err := inRange("capacity", int64(capacity), 1, MaxCapacity, "4"); err != nil {
		return 0, out, err
	}
	if m.stats.Agents == m.config.MaxAgents {
		return 0, out, ErrTooManyAgents
	}
	for _, id := range holds {
		if err := m.adrift(id); err != nil {
			return 0, out, err
		}
	}
	skill, err := m.skillShape(skills)
	if err != nil {
		return 0, out, err
	}
	m.skills.users[skill]++
	i := m.freeAgent
	if i != 0 {
		m.freeAgent = m.agents[i].next
	} else {
		i = uint32(len(m.agents))
		m.agents = append(m.agents, agent{})
	}
	a := &m.agents[i]
	*a = agent{generation: a.generation + 1, capacity: uint16(capacity), skill: uint16(skill), load: uint16(len(holds)), present: true, paused: paused}
	p := &m.pools[skill]
	p.grow(capacity)
	p.agents++
	m.stats.Agents++
	m.enlist(i)
	id := AgentID(a.generation)<<32 | AgentID(i)
	for _, t := range holds {
		m.tasks[t.Slot()].runOn(id, skill)
	}
	return id, m.fill(i, out), nil
}

// adrift answers nil for a running task whose agent was removed.
func (m *Matcher) adrift(id TaskID) error {
	t, err := m.task(id)
	if err != nil {
		return err
	}
	if t.state() != running {
		return ErrNotRunning
	}
	if _, err := m.agent(t.agent()); err == nil {
		return ErrBound
	}
	return nil
}

// RemoveAgent detaches an agent. Tasks that it holds stay running until the
// caller finishes or returns them: their lease decides, not the connection.
func (m *Matcher) RemoveAgent(id AgentID) error {
	a, err := m.agent(id)
	if err != nil {
		return err
	}
	i := id.Slot()
	m.delist(i)
	m.pools[a.skill].agents--
	m.skills.users[a.skill]--
	a.present = false
	a.next, m.freeAgent = m.freeAgent, i
	m.stats.Agents--
	return nil
}

// SetCapacity changes how many tasks an agent may hold. One that holds more
// keeps them and gets nothing new until it is below.
func (m *Matcher) SetCapacity(id AgentID, capacity int, out []Assignment) ([]Assignment, error) {
	if err := inRange("capacity", int64(capacity), 1, MaxCapacity, "4"); err != nil {
		return out, err
	}
	a, err := m.agent(id)
	if err != nil {
		return out, err
	}
	m.delist(id.Slot())
	a.capacity = uint16(capacity)
	m.pools[a.skill].grow(capacity)
	m.enlist(id.Slot())
	return m.fill(id.Slot(), out), nil
}

// SetPaused makes an agent take nothing new (a drain), or take tasks again.
func (m *Matcher) SetPaused(id AgentID, paused bool, out []Assignment) ([]Assignment, error) {
	a, err := m.agent(id)
	if err != nil {
		return out, err
	}
	m.delist(id.Slot())
	a.paused = paused
	m.enlist(id.Slot())
	return m.fill(id.Slot(), out), nil
}

// Wanted tells whether a task waits that the agent could do, if it had a slot.
func (m *Matcher) Wanted(id AgentID) bool {
	a, err := m.agent(id)
	if err != nil || m.stats.Waiting == 0 {
		return false
	}
	fits := m.skills.fits[a.skill]
	for i := range m.queues {
		q := &m.queues[i]
		if q.waiting == 0 {
			continue
		}
		for w := range min(len(q.needs), len(fits)) {
			if fits[w]&q.needs[w] != 0 {
				return true
			}
		}
	}
	return false
}

// Load returns how many tasks an agent holds.
func (m *Matcher) Load(id AgentID) (int, error) {
	a, err := m.agent(id)
	if err != nil {
		return 0, err
	}
	return int(a.load), nil
}
