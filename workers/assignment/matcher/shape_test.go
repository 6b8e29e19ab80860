package matcher

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Shapes come and go until each number has been several sets': what agents' pools
// believe of needs is then what their sets say.
func TestPoolsKnowTheirNeedsWhileShapesComeAndGo(t *testing.T) {
	m := small(t)
	rng := rand.New(rand.NewPCG(1, 2))
	any16 := func() Set { return Set{rng.Uint64() & rng.Uint64() & 0xffff, 0, 0, rng.Uint64() & 0xff} }
	for range 8 {
		_, _, err := m.AddAgent(Set{rng.Uint64() | 0xfff, 0, 0, rng.Uint64()}, 1, nil)
		require.NoError(t, err)
	}
	var held []TaskID
	for range 3 * MaxShapes {
		if len(held) == 1000 {
			i := rng.IntN(len(held))
			_ = m.Cancel(held[i]) // one of the few that run stays
			held[i] = held[len(held)-1]
			held = held[:len(held)-1]
		}
		id, _ := submit(t, m, Task{Needs: any16()})
		held = append(held, id)
	}
	for n := range 4 {
		_, _, err := m.AddAgent(Set{uint64(n) << 14, 0, 0, ^uint64(0)}, 1, nil) // known after the needs
		require.NoError(t, err)
	}
	require.Len(t, m.needs.sets, MaxShapes)
	for skill, p := range m.pools {
		var want []uint16
		for need, set := range m.needs.sets {
			if m.skills.sets[skill].Has(set) {
				want = append(want, uint16(need))
			}
		}
		require.Equal(t, want, p.needs)
	}
	for n, set := range m.needs.sets {
		got, _, ok := m.needs.index.find(m.needs.sets, set)
		require.True(t, ok)
		require.EqualValues(t, n, got)
	}
}

// Sets that meet in one slot are told apart, and so is one that is not there.
func TestTheIndexTellsApartWhatMeets(t *testing.T) {
	x := newIndex()
	var sets []Set
	var slot uint64
	for i := uint64(0); len(sets) < 5; i++ {
		set := Set{0, i}
		at := x.hash(&set) % uint64(len(x.slots))
		if i == 0 {
			slot = at
		}
		if at != slot {
			continue
		}
		_, free, ok := x.find(sets, set)
		require.False(t, ok)
		x.put(free, uint32(len(sets)))
		sets = append(sets, set)
	}
	for n, set := range sets {
		got, _, ok := x.find(sets, set)
		require.True(t, ok)
		require.EqualValues(t, n, got)
	}
}
