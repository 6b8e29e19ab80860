package ledger

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Fault is what is wrong with a row, or with what points at it.
type Fault string

const (
	// Edited: the row is not what was written under its number.
	Edited Fault = "edited"
	// Inserted: the row was never written by the ledger there.
	Inserted Fault = "inserted"
	// Deleted: the row is gone.
	Deleted Fault = "deleted"
	// Reordered: the row was written under another number.
	Reordered Fault = "reordered"
	// Cut: the newest rows are gone.
	Cut Fault = "cut"
	// Forked: the row is the ledger's own, and does not follow the one before.
	Forked Fault = "forked"
	// Forged: the head row, its file or the spool is not the ledger's, or not where it was.
	Forged Fault = "forged"
	// Noted: a row in which the ledger says itself that something was wrong.
	Noted Fault = "noted"
)

// Finding is a fault with its rows.
type Finding struct {
	Fault Fault `json:"fault"`
	// Seq is the first row concerned, Through the last.
	Seq     int64  `json:"seq"`
	Through int64  `json:"through"`
	What    string `json:"what"`
}

// anchor is a row that somebody outside of the rows knows of.
type anchor struct {
	who string
	Head
}

// findingMax bounds the list of findings, and the rows that are kept to be
// explained; the rest is counted.
const findingMax = 10_000

// A row that is out of place is looked for at most this many numbers further on,
// and at most so often: who renumbers a million rows is found out all the same.
const (
	near        = 64
	searchesMax = 20_000
)

// link is a row as the chain sees it.
type link struct {
	seq  int64
	prev Hash
	hash Hash
	// good: the hash is right for this content, at this number, after prev.
	good bool
	// sealed are the bytes under the hash, of rows that are not good.
	sealed []byte
	// broken is the row's own word of a fault.
	broken string
}

// suspect is a row that is not good, and what is known of it.
type suspect struct {
	link
	// slot is the number it stands for unless it turns out to belong elsewhere.
	slot int64
	// written is the number under which it was written; 0 where unknown.
	written int64
}

// span are rows that were written as a to b, and stand under numbers that are less
// by shift.
type span struct{ a, b, shift int64 }

// mark is what is kept of every row: by its hash the successor is told.
type mark struct {
	seq  int64
	hash uint64
}

// chain goes through rows in order of their number and finds what is wrong.
type chain struct {
	key     *seal
	anchors []anchor
	// end is the last row by the database's head, 0 where that cannot be trusted.
	end int64

	rows     int64
	index    []mark
	good     []span
	moved    []span
	suspects []*suspect
	findings []Finding
	more     int

	last     link
	sure     int64 // the last row whose place is known, as written
	sureHash Hash
	shift    int64
	searches int
}

func newChain(key *seal, end int64, anchors []anchor) *chain {
	return &chain{key: key, end: end, anchors: anchors, last: link{good: true}}
}

func short(h Hash) uint64 { return binary.BigEndian.Uint64(h[:]) }

// add takes the next row.
func (c *chain) add(l link) {
	c.rows++
	c.index = append(c.index, mark{l.seq, short(l.hash)})
	switch {
	case l.good && c.last.seq == l.seq && c.rows > 1:
		c.find(Inserted, l.seq, l.seq, "is there twice")
	case l.good:
		c.fits(l)
		c.shift = 0
		c.good = extend(c.good, l.seq, 0)
		c.sure, c.sureHash = l.seq, l.hash
	case c.shifted(l):
		c.moved = extend(c.moved, l.seq+c.shift, c.shift)
		c.sure, c.sureHash = l.seq+c.shift, l.hash
	case len(c.suspects) < findingMax:
		c.suspects = append(c.suspects, &suspect{link: l, slot: l.seq + c.shift})
	default:
		c.more++
		c.good = extend(c.good, l.seq+c.shift, 0) // it stands there, whatever it is
	}
	l.sealed = nil
	c.last = l
}

// fits holds a good row against its neighbour and against those who know it.
func (c *chain) fits(l link) {
	if c.last.good && c.last.seq == l.seq-1 && l.prev != c.last.hash {
		c.find(Forked, l.seq, l.seq, fmt.Sprintf("is the ledger's own, but does not follow row %d: the two are of different histories", l.seq-1))
	}
	for _, a := range c.anchors {
		if a.Seq == l.seq && a.Hash != l.hash {
			c.find(Forked, l.seq, l.seq, fmt.Sprintf("is not the row that %s knows under this number (hash %s)", a.who, a.Hash))
		}
	}
	if l.broken != "" {
		c.find(Noted, l.seq, l.seq, "says what the ledger found when it went on writing: "+l.broken)
	}
}

func extend(spans []span, written, shift int64) []span {
	if n := len(spans); n > 0 && spans[n-1].b == written-1 && spans[n-1].shift == shift {
		spans[n-1].b = written
		return spans
	}
	return append(spans, span{written, written, shift})
}

// shifted looks whether the row stands in order, but under a wrong number: a row
// before it was taken out or slipped in, and the rest renumbered.
func (c *chain) shifted(l link) bool {
	try := func(shift int64) bool {
		if shift == 0 || !c.writtenAs(l, l.seq+shift) {
			return false
		}
		c.shift = shift
		return true
	}
	if l.prev == c.sureHash && try(c.sure+1-l.seq) || try(c.shift) {
		return true
	}
	if c.searches == searchesMax {
		return false
	}
	c.searches++
	for d := int64(1); d <= near; d++ {
		if try(c.shift + d) {
			return true
		}
	}
	return false
}

// writtenAs says whether the row's hash is right for another number.
func (c *chain) writtenAs(l link, seq int64) bool {
	if seq < 1 || len(l.sealed) < linked {
		return false
	}
	return c.key.of(sealRow, []byte{0, 0, 0, 8}, number(seq), l.sealed[12:]) == l.hash
}

func (c *chain) find(fault Fault, seq, through int64, what string) {
	if len(c.findings) < findingMax {
		c.findings = append(c.findings, Finding{fault, seq, through, what})
		return
	}
	c.more++
}

// finish explains the suspects and answers all findings, in order.
func (c *chain) finish() []Finding {
	c.explain()
	taken := newNumbers(c.good, c.moved)
	for _, s := range c.suspects { // what belongs somewhere comes before what claims to
		if s.written == 0 {
			continue
		}
		if taken.has(s.written) {
			c.find(Inserted, s.seq, s.seq, fmt.Sprintf("is a copy of row %d", s.written))
			continue
		}
		c.find(Reordered, s.seq, s.seq, fmt.Sprintf("was written as row %d", s.written))
		taken.add(s.written)
	}
	for _, s := range c.suspects {
		switch {
		case s.written != 0:
		case s.slot < 1 || taken.has(s.slot) || c.end > 0 && s.slot > c.end:
			c.find(Inserted, s.seq, s.seq, "was not written by the ledger")
		default:
			c.find(Edited, s.seq, s.seq, "is not what was written under this number")
			taken.add(s.slot)
		}
	}
	for _, m := range c.moved {
		what := fmt.Sprintf("was written as row %d", m.a)
		if m.b > m.a {
			what = fmt.Sprintf("were written as rows %d to %d", m.a, m.b)
		}
		c.find(Reordered, m.a-m.shift, m.b-m.shift, what)
	}
	for _, m := range taken.missing() {
		what := "is gone"
		if m.b > m.a {
			what = "are gone"
		}
		c.find(Deleted, m.a, m.b, what)
	}
	c.ends(taken.last())
	slices.SortStableFunc(c.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Fault, b.Fault), cmp.Compare(a.Through, b.Through))
	})
	return c.findings
}

// ends holds the last row against those who know of later ones.
func (c *chain) ends(last int64) {
	witnesses := map[int64][]string{}
	for _, a := range c.anchors {
		if a.Seq > last {
			witnesses[a.Seq] = append(witnesses[a.Seq], a.who)
		}
	}
	for seq, who := range witnesses {
		what := "is gone from the end; it is known to "
		if seq > last+1 {
			what = fmt.Sprintf("are gone from the end; row %d is known to ", seq)
		}
		c.find(Cut, last+1, seq, what+strings.Join(who, " and to "))
	}
	if c.end > 0 && last > c.end {
		c.find(Forged, c.end, last, fmt.Sprintf("the head was set back: it says row %d, and row %d was written", c.end, last))
	}
}

// explain looks for each suspect's predecessor: who follows row n was written as
// n+1. Who follows another suspect waits for that one's turn.
func (c *chain) explain() {
	wanted := map[uint64][]int64{}
	bySeq := map[int64]*suspect{}
	for _, s := range c.suspects {
		wanted[short(s.prev)] = nil
		bySeq[s.seq] = s
	}
	for _, m := range c.index {
		if holders, ok := wanted[m.hash]; ok {
			wanted[m.hash] = append(holders, m.seq)
		}
	}
	for progress := true; progress; {
		progress = false
		for _, s := range c.suspects {
			if s.written == 0 && c.follow(s, wanted[short(s.prev)], bySeq) {
				progress = true
			}
		}
		slices.Reverse(c.suspects) // chains of suspects run either way
	}
	sort.SliceStable(c.suspects, func(i, j int) bool { return c.suspects[i].seq < c.suspects[j].seq })
}

func (c *chain) follow(s *suspect, holders []int64, bySeq map[int64]*suspect) bool {
	if s.prev == (Hash{}) && c.writtenAs(s.link, 1) {
		s.written = 1
		return true
	}
	for _, seq := range holders {
		written := seq
		if h := bySeq[seq]; h != nil {
			if written = h.written; written == 0 {
				written = h.slot // its content may be edited, and its hash what it was
			}
		} else {
			for _, m := range c.moved {
				if seq >= m.a-m.shift && seq <= m.b-m.shift {
					written = seq + m.shift
				}
			}
		}
		if c.writtenAs(s.link, written+1) {
			s.written = written + 1
			return true
		}
	}
	return false
}

// numbers are those under which a row was written that is still there.
type numbers struct {
	spans  []span
	single map[int64]bool
}

func newNumbers(groups ...[]span) *numbers {
	n := &numbers{single: map[int64]bool{}}
	n.spans = merge(slices.Concat(groups...))
	return n
}

func merge(spans []span) []span {
	sort.Slice(spans, func(i, j int) bool { return spans[i].a < spans[j].a })
	var out []span
	for _, s := range spans {
		if k := len(out); k > 0 && s.a <= out[k-1].b+1 {
			out[k-1].b = max(out[k-1].b, s.b)
			continue
		}
		out = append(out, span{a: s.a, b: s.b})
	}
	return out
}

func (n *numbers) add(v int64) { n.single[v] = true }

func (n *numbers) has(v int64) bool {
	i := sort.Search(len(n.spans), func(i int) bool { return n.spans[i].b >= v })
	return i < len(n.spans) && n.spans[i].a <= v || n.single[v]
}

func (n *numbers) all() []span {
	spans := slices.Clone(n.spans)
	for v := range n.single {
		spans = append(spans, span{a: v, b: v})
	}
	return merge(spans)
}

// missing are the numbers from 1 to the last that no row has.
func (n *numbers) missing() []span {
	var out []span
	next := int64(1)
	for _, s := range n.all() {
		if s.a > next {
			out = append(out, span{a: next, b: s.a - 1})
		}
		next = s.b + 1
	}
	return out
}

func (n *numbers) last() int64 {
	all := n.all()
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].b
}
