package messaging

import "encoding/binary"

// The script's numbers are packed as MessagePack, which Redis reads in one go: each
// as an argument of its own would cost it more than all else about a small message.

// packList begins a list of n values.
func packList(b []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
}

// packNumber writes one of them.
func packNumber(b []byte, v uint64) []byte {
	switch {
	case v < 1<<7:
		return append(b, byte(v))
	case v < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(v))
	default:
		return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
	}
}
