package process

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRests(t *testing.T) {
	const mib = 1 << 20
	require.Equal(t, 1, rests(0, mib, 20*mib), "it begins")
	require.Equal(t, 3, rests(2, mib, 20*mib), "it goes on")
	require.Zero(t, rests(4, 10*mib, 20*mib), "it will be needed")
	require.Zero(t, rests(4, 0, mib), "it is not worth it")
}

func TestGarbagePercent(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		allocated, live uint64
		least, most     int
	}{
		"at rest, little in use":   {0, 4 * mib, 100, 100},
		"at rest, much in use":     {0, 200 * mib, 4, 5},
		"busy, much in use":        {50 * mib, 200 * mib, 25, 31},
		"very busy":                {1000 * mib, 200 * mib, 100, 100},
		"nothing is collected yet": {10 * mib, 0, 100, 100},
	} {
		t.Run(name, func(t *testing.T) {
			got := garbagePercent(c.allocated, c.live)
			require.GreaterOrEqual(t, got, c.least)
			require.LessOrEqual(t, got, c.most)
		})
	}
	require.Equal(t, garbagePercent(50*mib, 200*mib), garbagePercent(52*mib, 200*mib), "a small change changes nothing")
}
