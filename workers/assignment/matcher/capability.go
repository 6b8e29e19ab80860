package matcher

import "math/bits"

// MaxCapabilities bounds the distinct capability names.
const MaxCapabilities = 256

// A Set is a set of capabilities by number.
type Set [MaxCapabilities / 64]uint64

// With returns the set with capability c added.
func (s Set) With(c Capability) Set {
	s[c>>6] |= 1 << (c & 63)
	return s
}

// Has reports whether every capability of need is in s.
func (s Set) Has(need Set) bool {
	for i := range s {
		if need[i]&^s[i] != 0 {
			return false
		}
	}
	return true
}

func (s Set) without(other Set) Set {
	for i := range s {
		s[i] &^= other[i]
	}
	return s
}

func (s Set) union(other Set) Set {
	for i := range s {
		s[i] |= other[i]
	}
	return s
}

// A Capability is the number of a capability name.
type Capability uint8

// Capabilities numbers capability names in the order in which they appear.
type Capabilities struct {
	number map[string]Capability
	names  []string
}

// Number returns the capability with this name, a new one if it was not known.
func (c *Capabilities) Number(name string) (Capability, error) {
	if n, ok := c.number[name]; ok {
		return n, nil
	}
	if len(c.names) == MaxCapabilities {
		return 0, ErrTooManyCapabilities
	}
	if c.number == nil {
		c.number = make(map[string]Capability)
	}
	n := Capability(len(c.names))
	c.number[name] = n
	c.names = append(c.names, name)
	return n, nil
}

// Names returns the names in s, in order of number.
func (c *Capabilities) Names(s Set) []string {
	var names []string
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			if n := i<<6 + bits.TrailingZeros64(word); n < len(c.names) {
				names = append(names, c.names[n])
			}
		}
	}
	return names
}
