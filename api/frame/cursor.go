package frame

import (
	"fmt"
	"strconv"
	"strings"
)

// Cursor is a message's place in its mailbox: when Redis stored it, in
// milliseconds, and its number. Numbers of one mailbox are dense, so a jump
// tells how many messages a topic had dropped.
type Cursor struct{ MS, N uint64 }

// String writes a cursor as Redis does.
func (c Cursor) String() string {
	return strconv.FormatUint(c.MS, 10) + "-" + strconv.FormatUint(c.N, 10)
}

// After tells whether c stands behind d.
func (c Cursor) After(d Cursor) bool { return c.MS > d.MS || c.MS == d.MS && c.N > d.N }

// cursorDigits bounds each half: the hub's scripts count in doubles, exact to 2^53.
const cursorDigits = 15

// ParseCursor reads what String wrote.
func ParseCursor(s string) (Cursor, error) {
	left, right, ok := strings.Cut(s, "-")
	if !ok || len(left) > cursorDigits || len(right) > cursorDigits {
		return Cursor{}, fmt.Errorf("cursor %.40q: want one that the hub sent, for example 1764039152639-17", s)
	}
	ms, err := strconv.ParseUint(left, 10, 64)
	n, err2 := strconv.ParseUint(right, 10, 64)
	if err != nil || err2 != nil {
		return Cursor{}, fmt.Errorf("cursor %.40q: want one that the hub sent, for example 1764039152639-17", s)
	}
	return Cursor{MS: ms, N: n}, nil
}
