package frame

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCursor_ReadsWhatItWrites(t *testing.T) {
	c := Cursor{MS: 1764039152639, N: 17}
	got, err := ParseCursor(c.String())
	require.NoError(t, err)
	require.Equal(t, c, got)
	for _, bad := range []string{"", "-", "1", "1-", "-1", "1-x", "+1-1", "1-1-1", "9999999999999999-1"} {
		_, err := ParseCursor(bad)
		require.ErrorContains(t, err, "for example", bad)
	}
	require.True(t, c.After(Cursor{MS: c.MS, N: 16}))
	require.True(t, c.After(Cursor{MS: c.MS - 1, N: 99}))
	require.False(t, c.After(c))
}

// FuzzNextItem: whatever is read without an error is written back to the same item.
func FuzzNextItem(f *testing.F) {
	f.Add(AppendItem(nil, &Item{Op: OpSend, Address: "b", Producer: "p", Seq: 1, Count: 1, Body: AppendMessage(nil, "id", []byte("1"))}))
	f.Add(AppendItem(nil, &Item{Op: OpRefused, Code: "full", Message: "no room", Cursor: Cursor{MS: 9, N: 8}}))
	f.Add([]byte{'S', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		it, rest, err := NextItem(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		require.Less(t, len(rest), len(b))
		again, rest, err := NextItem(AppendItem(nil, &it))
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, it, again)
	})
}

// FuzzNextRecord walks records and their messages as a client does; it must end.
func FuzzNextRecord(f *testing.F) {
	m := AppendMessage(AppendMessage(nil, "a", []byte("1")), "", nil)
	f.Add(AppendRecord(nil, &Record{From: "a", Producer: "p", Seq: 3, AtMicros: 5, Count: 2, Messages: m}))
	f.Add([]byte{0, 0, 0, 0, 0xff, 0xff, 0x03, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			rec, rest, err := NextRecord(b)
			if err != nil {
				require.ErrorIs(t, err, ErrMalformed)
				return
			}
			again, _, err := NextRecord(AppendRecord(nil, &rec))
			require.NoError(t, err)
			require.Equal(t, rec, again)
			for left := rec.Messages; len(left) > 0; {
				_, _, next, err := NextMessage(left)
				if err != nil {
					break
				}
				require.Less(t, len(next), len(left))
				left = next
			}
			require.Less(t, len(rest), len(b))
			b = rest
		}
	})
}

// FuzzNextMessage: what is read without an error is shorter than before, and written back the same.
func FuzzNextMessage(f *testing.F) {
	f.Add(AppendMessage(nil, "id", []byte(`{"a":1}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, body, rest, err := NextMessage(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		require.Less(t, len(rest), len(b))
		id2, body2, rest2, err := NextMessage(AppendMessage(nil, string(id), body))
		require.NoError(t, err)
		require.Empty(t, rest2)
		require.Equal(t, string(id), string(id2))
		require.Equal(t, string(body), string(body2))
	})
}

// FuzzParseCursor: what is read is within the scripts' numbers and reads the same again.
func FuzzParseCursor(f *testing.F) {
	f.Add("1764039152639-17")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err != nil {
			return
		}
		require.Less(t, max(c.MS, c.N), uint64(1)<<53)
		again, err := ParseCursor(c.String())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}
