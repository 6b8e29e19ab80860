package home

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSplit(t *testing.T) {
	idle := view{Open: true}
	has := func(slots, running int, wanted bool) view {
		return view{Open: true, Asked: slots, Ceiling: max(slots, running), Running: running, Wanted: wanted}
	}
	for name, c := range map[string]struct {
		capacity int
		views    []view
		want     []int
	}{
		"at first":                             {10, []view{idle, idle, idle, idle}, []int{3, 3, 2, 2}},
		"fewer than partitions":                {2, []view{idle, idle, idle, idle}, []int{1, 1, 0, 0}},
		"one partition is away":                {4, []view{idle, {Asked: 1, Ceiling: 1}, idle, idle}, []int{1, 1, 1, 1}},
		"idle slots move, but for one":         {8, []view{has(2, 0, false), has(2, 2, true), has(2, 1, false), has(2, 0, false)}, []int{1, 2, 1, 1}},
		"the only slot moves":                  {1, []view{has(1, 0, false), has(0, 0, true)}, []int{0, 0}},
		"and arrives":                          {1, []view{has(0, 0, false), has(0, 0, true)}, []int{0, 1}},
		"a busy slot moves when it is free":    {1, []view{has(1, 1, true), has(0, 0, true)}, []int{1, 0}},
		"it is the other's turn":               {1, []view{has(1, 1, true), has(0, 0, true)}, []int{0, 0}},
		"two that want share":                  {4, []view{has(4, 4, true), has(0, 0, true)}, []int{2, 0}},
		"what is given up is given on":         {4, []view{has(2, 2, true), has(0, 0, true)}, []int{2, 2}},
		"more runs than capacity":              {2, []view{has(0, 3, false), has(0, 0, true)}, []int{0, 0}},
		"a slot in use that was asked back":    {4, []view{{Open: true, Asked: 2, Ceiling: 4, Running: 4}, idle}, []int{2, 0}},
		"nothing waits, and everything is out": {4, []view{has(1, 0, false), has(3, 3, false)}, []int{1, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			turn := 0
			if name == "it is the other's turn" {
				turn = 1
			}
			require.Equal(t, c.want, split(c.capacity, c.views, turn))
		})
	}
}

func TestLevel(t *testing.T) {
	has := func(slots, running int, wanted bool) view {
		return view{Open: true, Asked: slots, Ceiling: max(slots, running), Running: running, Wanted: wanted}
	}
	away := view{Asked: 2, Ceiling: 2}
	for name, c := range map[string]struct {
		capacity int
		views    []view
		want     []int
	}{
		"all lie at two of four":        {4, []view{has(2, 0, false), has(2, 0, false), has(0, 0, false), has(0, 0, false)}, []int{1, 1, 0, 0}},
		"they are level":                {5, []view{has(2, 0, false), has(1, 0, false), has(1, 0, false), has(1, 0, false)}, []int{2, 1, 1, 1}},
		"fewer than partitions":         {1, []view{has(0, 0, false), has(1, 0, false)}, []int{0, 1}},
		"one runs":                      {4, []view{has(4, 1, false), has(0, 0, false)}, []int{4, 0}},
		"one is wanted":                 {4, []view{has(4, 0, true), has(0, 0, false)}, []int{4, 0}},
		"one is away and keeps its own": {4, []view{has(2, 0, false), away}, []int{2, 2}},
		"nobody is there":               {2, []view{away}, []int{2}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, level(c.capacity, c.views)) })
	}
}

// However partitions want and executions come and go, what may run is never more than the
// capacity, a partition that goes on wanting gets a slot, and idle ones are not left lying.
func TestSplit_Model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity, partitions := rapid.IntRange(1, 9).Draw(t, "capacity"), rapid.IntRange(1, 5).Draw(t, "partitions")
		views := make([]view, partitions)
		grant := func(turn int) {
			for n, ask := range split(capacity, views, turn) {
				views[n].Asked = ask
				views[n].Ceiling = max(views[n].Ceiling, ask)
			}
			sum := 0
			for _, v := range views {
				require.GreaterOrEqual(t, v.Asked, 0)
				sum += v.Ceiling
			}
			require.LessOrEqual(t, sum, capacity)
		}
		turn := 0
		t.Repeat(map[string]func(*rapid.T){
			"open": func(t *rapid.T) { views[rapid.IntRange(0, partitions-1).Draw(t, "n")].Open = true },
			"wanted": func(t *rapid.T) {
				v := &views[rapid.IntRange(0, partitions-1).Draw(t, "n")]
				v.Wanted = rapid.Bool().Draw(t, "wanted")
			},
			"run": func(t *rapid.T) {
				if v := &views[rapid.IntRange(0, partitions-1).Draw(t, "n")]; v.Running < v.Ceiling {
					v.Running++
				}
			},
			"end": func(t *rapid.T) {
				if v := &views[rapid.IntRange(0, partitions-1).Draw(t, "n")]; v.Running > 0 {
					v.Running--
				}
			},
			"heard": func(t *rapid.T) {
				v := &views[rapid.IntRange(0, partitions-1).Draw(t, "n")]
				v.Ceiling = max(v.Asked, v.Running)
			},
			"level": func(*rapid.T) {
				for n, ask := range level(capacity, views) {
					views[n].Asked = ask
				}
			},
			"turn": func(*rapid.T) { turn++ },
			"":     func(*rapid.T) { grant(turn) },
		})
		// Whoever wants gets its turn when executions end and grants are heard of.
		got := make([]bool, partitions)
		for range 2 * partitions {
			turn++
			for range 3 {
				for n := range views {
					views[n].Running = min(views[n].Running, views[n].Asked)
					views[n].Ceiling = max(views[n].Asked, views[n].Running)
				}
				grant(turn)
			}
			for n := range views {
				got[n] = got[n] || views[n].Asked > 0
				if views[n].Open && views[n].Wanted {
					views[n].Running = views[n].Asked
				}
			}
		}
		for n, v := range views {
			require.True(t, got[n] || !v.Open || !v.Wanted, "partition %d starves: %+v", n, views)
		}
	})
}
