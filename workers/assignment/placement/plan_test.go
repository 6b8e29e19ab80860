package placement

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct{ alive, holders, want []string }{
		"nobody":               {nil, []string{"a", ""}, []string{"", ""}},
		"alone":                {[]string{"a"}, []string{"", "", "x"}, []string{"a", "a", "a"}},
		"nothing moves":        {[]string{"b", "a"}, []string{"b", "a", "b", "a"}, []string{"b", "a", "b", "a"}},
		"a second one":         {[]string{"a", "b"}, []string{"a", "a", "a", "a"}, []string{"a", "a", "b", "b"}},
		"a third one":          {[]string{"a", "b", "c"}, []string{"a", "a", "b", "b"}, []string{"a", "a", "b", "c"}},
		"one has died":         {[]string{"a", "c"}, []string{"a", "a", "b", "c"}, []string{"a", "a", "c", "c"}},
		"more than partitions": {[]string{"a", "b", "c"}, []string{"c"}, []string{"c"}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, Plan(c.alive, c.holders)) })
	}
}

func TestPlan_EvenWithFewestMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		replicas, partitions := rapid.IntRange(1, 6).Draw(t, "replicas"), rapid.IntRange(1, 12).Draw(t, "partitions")
		var alive []string
		for i := range replicas {
			alive = append(alive, fmt.Sprint("r", i))
		}
		holders := make([]string, partitions)
		has := map[string]int{}
		for n := range holders {
			if who := rapid.IntRange(-1, replicas).Draw(t, "holder"); who >= 0 {
				holders[n] = fmt.Sprint("r", who) // r<replicas> does not live
			}
			if holders[n] != fmt.Sprint("r", replicas) {
				has[holders[n]]++
			}
		}
		plan := Plan(rapid.Permutation(alive).Draw(t, "order"), holders)
		require.Equal(t, plan, Plan(alive, holders), "everybody comes to the same")
		got := map[string]int{}
		moved := 0
		for n, name := range plan {
			require.Contains(t, alive, name)
			got[name]++
			if holders[n] != name {
				moved++
			}
		}
		low, high := partitions, 0
		kept := 0
		for _, name := range alive {
			low, high = min(low, got[name]), max(high, got[name])
			kept += min(got[name], has[name])
		}
		require.LessOrEqual(t, high-low, 1)
		require.Equal(t, partitions-kept, moved, "what may stay stays")
		require.Equal(t, plan, Plan(alive, plan), "and then nothing moves")
	})
}
