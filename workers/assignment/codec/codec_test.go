package codec

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, 50).Draw(t, "records")
		epoch, seq := rapid.Uint64().Draw(t, "epoch"), rapid.Uint64().Draw(t, "seq")
		b, _ := Append(nil, epoch, seq, records)
		require.Len(t, b, Size(records))
		got, err := Decode(b)
		require.NoError(t, err)
		require.Equal(t, epoch, got.Epoch)
		require.Equal(t, seq, got.Seq)
		require.Len(t, got.Records, len(records))
		for i := range records {
			require.True(t, bytes.Equal(records[i], got.Records[i]))
		}
		at := rapid.IntRange(0, len(b)-1).Draw(t, "damaged byte")
		b[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		_, err = Decode(b)
		var typed *Error
		require.ErrorAs(t, err, &typed)
	})
}

func TestAppendAllocatesNothing(t *testing.T) {
	records := [][]byte{make([]byte, 128), make([]byte, 128)}
	buf := make([]byte, 0, Size(records))
	require.Zero(t, testing.AllocsPerRun(100, func() { Append(buf, 1, 2, records) }))
}

func FuzzDecode(f *testing.F) {
	for _, records := range [][][]byte{nil, {nil}, {[]byte("task")}, {[]byte("a"), nil, make([]byte, 300)}} {
		b, _ := Append(nil, 3, 7, records)
		f.Add(b)
		f.Add(b[:len(b)-1])
		f.Add(append(b, 0))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Decode(b)
		if err != nil {
			var typed *Error
			require.ErrorAs(t, err, &typed)
			return
		}
		again, _ := Append(nil, got.Epoch, got.Seq, got.Records)
		require.Equal(t, b, again)
	})
}

// FuzzDecodeBehindSum gives each input the checksum that it needs, so that what
// lies behind the checksum is reached.
func FuzzDecodeBehindSum(f *testing.F) {
	b, _ := Append(nil, 3, 7, [][]byte{[]byte("a"), nil, make([]byte, 300)})
	body := b[1 : len(b)-trailer]
	f.Add(body)
	f.Add(body[:len(body)-1])
	f.Add(append(bytes.Clone(body), 0))
	for _, at := range []int{header - 5, header - 4, header - 1, header} {
		harmed := bytes.Clone(body)
		harmed[at] ^= 0xff
		f.Add(harmed)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b := append([]byte{Version}, body...)
		b = binary.BigEndian.AppendUint32(b, Checksum(b))
		got, err := Decode(b)
		if err != nil {
			var typed *Error
			require.ErrorAs(t, err, &typed)
			require.NotEqual(t, Sum, typed.Problem)
			return
		}
		again, _ := Append(nil, got.Epoch, got.Seq, got.Records)
		require.Equal(t, b, again)
	})
}
