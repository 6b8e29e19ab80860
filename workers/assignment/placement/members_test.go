package placement

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTakers(t *testing.T) {
	for name, c := range map[string]struct {
		alive map[string]member
		want  []string
	}{
		"nobody lives":         {nil, nil},
		"all":                  {map[string]member{"a": {}, "b": {}}, []string{"a", "b"}},
		"one stands aside":     {map[string]member{"a": {aside: true}, "b": {}, "c": {}}, []string{"b", "c"}},
		"everybody does":       {map[string]member{"a": {aside: true}, "b": {aside: true}}, []string{"a", "b"}},
		"alone, and it would":  {map[string]member{"a": {aside: true}}, []string{"a"}},
		"of an older version":  {map[string]member{"a": {address: "10.0.0.1:8091"}}, []string{"a"}},
		"the last that is not": {map[string]member{"a": {aside: true}, "b": {aside: true}, "c": {}}, []string{"c"}},
	} {
		t.Run(name, func(t *testing.T) { require.ElementsMatch(t, c.want, takers(c.alive)) })
	}
}

// Who stands aside loses what it has, and nothing else moves.
func TestTakers_OnlyItsPartitionsMove(t *testing.T) {
	alive := map[string]member{"a": {}, "b": {aside: true}, "c": {}}
	require.Equal(t, []string{"a", "a", "c", "c"}, Plan(takers(alive), []string{"a", "b", "c", "b"}))
	alive["b"] = member{}
	require.Equal(t, []string{"a", "a", "c", "b"}, Plan(takers(alive), []string{"a", "a", "c", "c"}), "and back, to its share")
}
