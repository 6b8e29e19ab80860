package matrix

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/leanvibe/hive/tests/chaos/bench"
	"github.com/leanvibe/hive/tests/chaos/kill"
	"github.com/leanvibe/hive/workflows/runbook"
)

// cell is one kill to be made: a step of a procedure, a point, a victim, in the scenario that meets it.
type cell struct {
	scenario int
	order    kill.Order
	effect   runbook.Effect
}

// cells are all kills: three points and two victims for each step type that writes, one seeded point and both victims
// for each that only reads. A step that several scenarios of a procedure meet is killed in the first of them. Which of
// a step's acts is hit first is seeded too; the step's next kill hits the next act.
func cells(references map[int]bench.Result, random *rand.Rand) ([]cell, error) {
	var out []cell
	seen := map[string]bool{}
	for _, at := range slices.Sorted(maps.Keys(references)) {
		met := references[at].Met
		for _, kind := range slices.Sorted(maps.Keys(met)) {
			procedure, step, _ := strings.Cut(kind, " ")
			if seen[kind] {
				continue
			}
			seen[kind] = true
			effect, err := effectOf(step)
			if err != nil {
				return nil, err
			}
			points := kill.Points()
			if effect == runbook.Read {
				points = points[:1:1]
				points[0] = kill.Points()[random.IntN(len(kill.Points()))]
			}
			nth := random.IntN(met[kind])
			for _, point := range points {
				for _, victim := range []kill.Victim{kill.OpsWorker, kill.Temporal} {
					nth = nth%met[kind] + 1
					out = append(out, cell{at, kill.Order{Procedure: procedure, Step: step, Nth: nth, Point: point, Victim: victim}, effect})
				}
			}
		}
	}
	return out, nil
}

// batch is one run: a scenario and the kills in it, one an act.
type batch struct {
	scenario int
	cells    []cell
}

// mostKills bounds the kills of one run: more would have it last longer than a step's own limits.
const mostKills = 7

// batches puts the cells into runs. Writes come first, so that a short time is well spent.
func batches(cells []cell, random *rand.Rand) []batch {
	var out []batch
	left := slices.Clone(cells)
	random.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	slices.SortStableFunc(left, func(a, b cell) int { return min(1, int(b.effect)) - min(1, int(a.effect)) })
	for len(left) > 0 {
		one := batch{scenario: left[0].scenario}
		used := map[string]bool{}
		var rest []cell
		for _, c := range left {
			kind := fmt.Sprint(c.order.Procedure, c.order.Step, c.order.Nth)
			if c.scenario != one.scenario || used[kind] || len(one.cells) == mostKills {
				rest = append(rest, c)
				continue
			}
			used[kind] = true
			one.cells = append(one.cells, c)
		}
		out, left = append(out, one), rest
	}
	return out
}

func (b batch) orders() []kill.Order {
	out := make([]kill.Order, 0, len(b.cells))
	for _, c := range b.cells {
		out = append(out, c.order)
	}
	return out
}
