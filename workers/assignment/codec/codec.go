// Package codec is the binary form of a journal batch: what one append writes and
// one recovery reads. It knows bytes, not tasks, and only the standard library.
//
//	version 1 byte | epoch 8 | sequence 8 | count 4 | count × (length 4, bytes) | CRC32C 4
//
// All numbers are big-endian. The checksum covers everything before it, epoch and
// sequence too: a batch whose header was changed does not decode. One that was
// moved whole does, and says where it belongs: the reader compares.
package codec

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Limits of one batch; a larger one is refused before it is written.
const (
	Version    = 1
	MaxBytes   = 8 << 20
	MaxRecords = 1 << 16

	header  = 1 + 8 + 8 + 4
	trailer = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is a decoded batch. Its records share the memory they were decoded from.
type Batch struct {
	Epoch, Seq uint64
	Records    [][]byte
}

// Problem says why bytes are not a batch.
type Problem string

// The problems that Decode reports.
const (
	Short    Problem = "shorter than its lengths say"
	Foreign  Problem = "of an unknown version"
	Sum      Problem = "changed since it was written: its checksum differs"
	Trailing Problem = "followed by bytes that no length covers"
	TooLarge Problem = "larger than a batch may be"
)

// Error is a failed decode: the problem, and the byte at which it showed.
type Error struct {
	Problem Problem
	Offset  int
}

func (e *Error) Error() string { return fmt.Sprintf("batch is %s (byte %d)", e.Problem, e.Offset) }

// Size answers how many bytes the records take when encoded.
func Size(records [][]byte) int {
	n := header + trailer
	for _, r := range records {
		n += 4 + len(r)
	}
	return n
}

// Append encodes a batch behind dst and answers its checksum. It allocates only
// when dst has less room than Size.
func Append(dst []byte, epoch, seq uint64, records [][]byte) ([]byte, uint32) {
	from := len(dst)
	dst = append(dst, Version)
	dst = binary.BigEndian.AppendUint64(dst, epoch)
	dst = binary.BigEndian.AppendUint64(dst, seq)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(records)))
	for _, r := range records {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(r)))
		dst = append(dst, r...)
	}
	sum := Checksum(dst[from:])
	return binary.BigEndian.AppendUint32(dst, sum), sum
}

// Checksum is the CRC32C that batches and snapshot chunks carry.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Decode reads one batch that fills b. The checksum is looked at first, so no
// length of damaged bytes is ever believed.
func Decode(b []byte) (Batch, error) {
	switch {
	case len(b) > MaxBytes:
		return Batch{}, &Error{TooLarge, MaxBytes}
	case len(b) < header+trailer:
		return Batch{}, &Error{Short, len(b)}
	case b[0] != Version:
		return Batch{}, &Error{Foreign, 0}
	}
	body := b[:len(b)-trailer]
	if Checksum(body) != binary.BigEndian.Uint32(b[len(body):]) {
		return Batch{}, &Error{Sum, len(body)}
	}
	count := binary.BigEndian.Uint32(body[17:])
	// Each record takes 4 bytes at least: a count beyond that must not size the slice.
	if count > MaxRecords || int(count) > (len(body)-header)/4 {
		return Batch{}, &Error{Short, header}
	}
	out := Batch{Epoch: binary.BigEndian.Uint64(body[1:]), Seq: binary.BigEndian.Uint64(body[9:]), Records: make([][]byte, 0, count)}
	at := header
	for range count {
		if len(body)-at < 4 {
			return Batch{}, &Error{Short, at}
		}
		n := int(binary.BigEndian.Uint32(body[at:]))
		at += 4
		if len(body)-at < n {
			return Batch{}, &Error{Short, at}
		}
		out.Records = append(out.Records, body[at:at+n:at+n])
		at += n
	}
	if at != len(body) {
		return Batch{}, &Error{Trailing, at}
	}
	return out, nil
}
