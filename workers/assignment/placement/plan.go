package placement

import (
	"slices"
)

// Plan says who should own each partition: as evenly as possible, with the fewest moves.
// holders has the owner of each, empty where there is none; one that does not live
// counts as none. Without anybody alive it answers empty names.
func Plan(alive, holders []string) []string {
	plan := make([]string, len(holders))
	if len(alive) == 0 {
		return plan
	}
	alive = slices.Sorted(slices.Values(alive))
	has := map[string]int{}
	for _, name := range alive {
		has[name] = 0
	}
	for n, name := range holders {
		if _, lives := has[name]; lives {
			plan[n] = name
			has[name]++
		}
	}
	// Who has most may keep one more than the others, as far as the numbers ask for it.
	quota := map[string]int{}
	share, more := len(holders)/len(alive), len(holders)%len(alive)
	byHolding := slices.Clone(alive)
	slices.SortStableFunc(byHolding, func(a, b string) int { return has[b] - has[a] })
	for i, name := range byHolding {
		quota[name] = share
		if i < more {
			quota[name]++
		}
	}
	for n := len(plan) - 1; n >= 0; n-- {
		if name := plan[n]; name != "" && has[name] > quota[name] {
			plan[n] = ""
			has[name]--
		}
	}
	for n := range plan {
		if plan[n] != "" {
			continue
		}
		for _, name := range alive {
			if has[name] < quota[name] {
				plan[n] = name
				has[name]++
				break
			}
		}
	}
	return plan
}
