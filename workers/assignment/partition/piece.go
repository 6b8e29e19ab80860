package partition

import (
	"slices"

	"github.com/leanvibe/hive/workers/assignment/codec"
	"github.com/leanvibe/hive/workers/assignment/journal"
)

// pieceMost bounds the bytes of one append, records and bodies, but for its first record: what
// it holds Redis up for.
const pieceMost = codec.MaxBytes / 2

// A piece is one append.
type piece struct {
	records [][]byte
	bodies  journal.Bodies
}

// pieces cuts the changes into appends that the journal takes. A record and its bodies are in
// the same. They share the memory of c.
func (c *Changes) pieces() []piece {
	var out []piece
	records := slices.Grow(c.list[:0], len(c.ends))
	puts, drops := c.bodies.puts, c.bodies.drops
	now := piece{}
	first, size, from := 0, 0, 0
	for i, end := range c.ends {
		mine := 0
		for mine < len(puts) && puts[mine].record == i {
			mine++
		}
		weight := 4 + end - from
		for _, p := range puts[:mine] {
			weight += len(p.bytes)
		}
		if i > first && (size+weight > pieceMost || i-first == codec.MaxRecords) {
			now.records = records[first:i:i]
			out = append(out, now)
			now, first, size = piece{}, i, 0
		}
		size += weight
		records = append(records, c.w.buf[from:end:end])
		for _, p := range puts[:mine] {
			now.bodies.Put = append(now.bodies.Put, journal.Body{Name: p.id.name(), Bytes: p.bytes})
		}
		puts, from = puts[mine:], end
		for ; len(drops) > 0 && drops[0].record == i; drops = drops[1:] {
			now.bodies.Drop = append(now.bodies.Drop, drops[0].id.name())
		}
	}
	now.records, c.list = records[first:], records
	return append(out, now)
}
