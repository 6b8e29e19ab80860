package access

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// However the bytes are cut, a frame is within exactly from its first byte to its last.
func TestFrames_AreFollowedHoweverTheyAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []byte
		ends := map[int]bool{}
		for _, size := range rapid.SliceOfN(rapid.IntRange(0, 40), 1, 6).Draw(t, "sizes") {
			all = binary.BigEndian.AppendUint32(append(all, 0), uint32(size))
			all = append(all, make([]byte, size)...)
			ends[len(all)] = true
		}
		var f frames
		for at := 0; at < len(all); {
			n := rapid.IntRange(1, len(all)-at).Draw(t, "read")
			ended := f.advance(all[at : at+n])
			passed := false
			for i := at + 1; i <= at+n; i++ {
				passed = passed || ends[i]
			}
			at += n
			require.Equal(t, passed, ended)
			require.Equal(t, !ends[at], f.within())
		}
	})
}
