package matcher

// MaxShapes bounds the distinct capability sets of agents, and those of tasks.
const MaxShapes = 4096

// shapeBits is a set of shapes.
type shapeBits [MaxShapes / 64]uint64

func (b *shapeBits) set(i uint32)      { b[i>>6] |= 1 << (i & 63) }
func (b *shapeBits) clear(i uint32)    { b[i>>6] &^= 1 << (i & 63) }
func (b *shapeBits) has(i uint32) bool { return b[i>>6]>>(i&63)&1 != 0 }

// shapes interns capability sets: the same set has the same number while in use.
type shapes struct {
	index index
	sets  []Set
	users []uint32
	// fits holds, per shape, the shapes of the other side that go with it.
	fits []*shapeBits
}

// find returns the number of set. fresh says that the number is new, or was
// another set's, so that the caller must fill fits.
func (s *shapes) find(set Set) (n uint32, fresh bool, err error) {
	n, at, ok := s.index.find(s.sets, set)
	if ok {
		return n, false, nil
	}
	if len(s.sets) == MaxShapes {
		if n, err = s.unused(); err != nil {
			return 0, false, err
		}
		s.sets[n] = set
		s.index.rebuild(s.sets)
		return n, true, nil
	}
	n = uint32(len(s.sets))
	s.sets = append(s.sets, set)
	s.users = append(s.users, 0)
	s.fits = append(s.fits, new(shapeBits))
	s.index.put(at, n)
	return n, true, nil
}

// unused returns the number of a shape that nobody uses. It is asked only when all
// numbers are taken and a new set appears.
func (s *shapes) unused() (uint32, error) {
	for n, users := range s.users {
		if users == 0 {
			return uint32(n), nil
		}
	}
	return 0, ErrTooManyShapes
}

// needShape returns the number of a task's need, known to every agent shape.
func (m *Matcher) needShape(set Set) (uint32, error) {
	n, fresh, err := m.needs.find(set)
	if err != nil || !fresh {
		return n, err
	}
	m.link(&m.needs, n, &m.skills, func(skill Set) bool { return skill.Has(set) })
	for skill := range m.pools {
		m.pools[skill].know(uint16(n), m.needs.fits[n].has(uint32(skill)))
	}
	return n, nil
}

// skillShape returns the number of an agent's set, known to every need.
func (m *Matcher) skillShape(set Set) (uint32, error) {
	n, fresh, err := m.skills.find(set)
	if err != nil {
		return n, err
	}
	if int(n) == len(m.pools) {
		m.pools = append(m.pools, pool{})
	}
	if fresh {
		p := &m.pools[n]
		p.turn, p.left, p.needs = 0, 0, p.needs[:0]
		m.link(&m.skills, n, &m.needs, set.Has)
		for need := range m.needs.sets {
			if m.skills.fits[n].has(uint32(need)) {
				p.needs = append(p.needs, uint16(need))
			}
		}
	}
	return n, nil
}

// link fills fits between shape n of one side and all shapes of the other.
func (m *Matcher) link(side *shapes, n uint32, other *shapes, fit func(Set) bool) {
	*side.fits[n] = shapeBits{}
	for o, set := range other.sets {
		if fit(set) {
			side.fits[n].set(uint32(o))
			other.fits[o].set(n)
		} else {
			other.fits[o].clear(n)
		}
	}
}
