package ledger

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// table is a ledger in memory: what is in the database, and in the head's file.
type table struct {
	key  *seal
	rows []Row
	head Head
	mac  Hash
	file Head
}

func newTable(n int) *table {
	t := &table{key: newSeal([]byte(strings.Repeat("k", keyMin)))}
	for i := range n {
		row := Row{ID: uuid.New(), At: time.Unix(1_800_000_000+int64(i), 0).UTC(), Act: anAct(i / 2), Outcome: Started}
		if i%2 == 1 {
			row.Outcome, row.Changed, row.DurationMS = Done, yes(), int64(i)
		}
		row.Seq, row.Prev, row.Key = t.head.Seq+1, t.head.Hash, row.Act.key()
		row.Hash = t.key.row(&row)
		t.rows = append(t.rows, row)
		t.head = Head{Seq: row.Seq, Hash: row.Hash}
	}
	t.mac, t.file = t.key.head(t.head.Seq, t.head.Hash), t.head
	return t
}

func (t *table) clone() *table {
	c := *t
	c.rows = slices.Clone(t.rows)
	return &c
}

// verify is what Verify does with a table that is in memory.
func (t *table) verify() []Finding {
	anchors := []anchor{{"the head's file", t.file}}
	end := int64(0)
	forged := t.mac != t.key.head(t.head.Seq, t.head.Hash)
	if !forged {
		end = t.head.Seq
		anchors = append(anchors, anchor{"the database's head row", t.head})
	}
	c := newChain(t.key, end, anchors)
	sorted := slices.Clone(t.rows)
	slices.SortStableFunc(sorted, func(a, b Row) int { return int(a.Seq - b.Seq) })
	for i := range sorted {
		c.add(asLink(t.key, sorted[i].tuple()))
	}
	found := c.finish()
	if forged {
		found = append(found, Finding{Forged, t.head.Seq, t.head.Seq, "the head row"})
	}
	return found
}

func says(findings []Finding) string {
	var out []string
	for _, f := range findings {
		if f.Through != f.Seq {
			out = append(out, fmt.Sprintf("%s %d-%d", f.Fault, f.Seq, f.Through))
		} else {
			out = append(out, fmt.Sprintf("%s %d", f.Fault, f.Seq))
		}
	}
	return strings.Join(out, ", ")
}

func (t *table) row(seq int64) *Row {
	for i := range t.rows {
		if t.rows[i].Seq == seq {
			return &t.rows[i]
		}
	}
	return nil
}

func (t *table) remove(seq int64) {
	t.rows = slices.DeleteFunc(t.rows, func(r Row) bool { return r.Seq == seq })
}

// renumber moves all rows from a number on by so much.
func (t *table) renumber(from, by int64) {
	for i := range t.rows {
		if t.rows[i].Seq >= from {
			t.rows[i].Seq += by
		}
	}
}

// fake is a row of somebody who has not the key.
func (t *table) fake(seq int64, prev Hash) Row {
	row := Row{Seq: seq, Prev: prev, ID: uuid.New(), Act: anAct(7), Outcome: Done}
	row.Hash = newSeal([]byte("not the key")).row(&row)
	return row
}

func TestEachFaultIsNamed(t *testing.T) {
	sound := newTable(100)
	require.Empty(t, sound.verify())
	for _, c := range []struct {
		name   string
		tamper func(*table)
		want   string
	}{
		{"a column edited", func(l *table) { l.row(40).Target = "other" }, "edited 40"},
		{"edited and hashed again with another key", func(l *table) {
			r := l.row(40)
			r.RequestedBy = "nobody"
			r.Hash = newSeal([]byte("guess")).row(r)
		}, "edited 40"},
		{"edited, and the rest chained again with another key", func(l *table) {
			l.row(98).RequestedBy = "nobody"
			guess := newSeal([]byte("guess"))
			for seq := int64(98); seq <= 100; seq++ {
				r := l.row(seq)
				r.Prev = l.row(seq - 1).Hash
				r.Hash = guess.row(r)
			}
		}, "edited 98, edited 99, edited 100"},
		{"hash edited", func(l *table) { l.row(40).Hash[3] ^= 1 }, "edited 40"},
		{"previous hash edited", func(l *table) { l.row(40).Prev[3] ^= 1 }, "edited 40"},
		{"first row edited", func(l *table) { l.row(1).Target = "other" }, "edited 1"},
		{"last row edited", func(l *table) { l.row(100).Target = "other" }, "edited 100"},
		{"deleted", func(l *table) { l.remove(40) }, "deleted 40"},
		{"first deleted", func(l *table) { l.remove(1) }, "deleted 1"},
		{"several deleted", func(l *table) { l.remove(40); l.remove(41); l.remove(60) }, "deleted 40-41, deleted 60"},
		{"deleted, the rest renumbered", func(l *table) { l.remove(40); l.renumber(41, -1) }, "deleted 40, reordered 40-99"},
		{"three deleted, the rest renumbered", func(l *table) {
			for _, n := range []int64{40, 41, 42} {
				l.remove(n)
			}
			l.renumber(43, -3)
		}, "deleted 40-42, reordered 40-97"},
		{"inserted, the rest renumbered", func(l *table) {
			l.renumber(40, 1)
			l.rows = append(l.rows, l.fake(40, l.row(39).Hash))
		}, "inserted 40, reordered 41-101"},
		{"inserted at the end", func(l *table) { l.rows = append(l.rows, l.fake(101, l.row(100).Hash)) }, "inserted 101"},
		{"inserted before the beginning", func(l *table) { l.rows = append(l.rows, l.fake(0, Hash{})) }, "inserted 0"},
		{"a copy at the end", func(l *table) { r := *l.row(40); r.Seq = 101; l.rows = append(l.rows, r) }, "inserted 101"},
		{"a copy in the middle, the rest renumbered", func(l *table) {
			r := *l.row(40)
			l.renumber(41, 1)
			r.Seq = 41
			l.rows = append(l.rows, r)
		}, "inserted 41, reordered 42-101"},
		{"the same row twice", func(l *table) { l.rows = append(l.rows, *l.row(40)) }, "inserted 40"},
		{"neighbours swapped", func(l *table) { a, b := l.row(40), l.row(41); a.Seq, b.Seq = 41, 40 }, "reordered 40, reordered 41"},
		{"rows swapped", func(l *table) { a, b := l.row(10), l.row(90); a.Seq, b.Seq = 90, 10 }, "reordered 10, reordered 90"},
		{"three turned round", func(l *table) {
			a, b, c := l.row(10), l.row(11), l.row(12)
			a.Seq, b.Seq, c.Seq = 12, 10, 11
		}, "reordered 10-11, reordered 12"},
		{"one row under another number", func(l *table) { l.row(40).Seq = 1000 }, "reordered 1000"},
		{"one edited, a later one deleted", func(l *table) { l.row(20).Kind = "x"; l.remove(50) }, "edited 20, deleted 50"},
		{"the row before a deleted one edited", func(l *table) { l.row(49).Kind = "x"; l.remove(50) }, "edited 49, deleted 50"},
		{"tail cut", func(l *table) { l.remove(99); l.remove(100) }, "cut 99-100"},
		{"tail cut, head row of an earlier time", func(l *table) {
			l.remove(99)
			l.remove(100)
			l.head = Head{Seq: 98, Hash: l.row(98).Hash}
			l.mac = l.key.head(l.head.Seq, l.head.Hash)
		}, "cut 99-100"},
		{"tail cut, head row made up", func(l *table) {
			l.remove(100)
			l.head = Head{Seq: 99, Hash: l.row(99).Hash}
		}, "cut 100, forged 99"},
		{"head set back", func(l *table) {
			l.head = Head{Seq: 98, Hash: l.row(98).Hash}
			l.mac = l.key.head(l.head.Seq, l.head.Hash)
		}, "forged 98-100"},
		{"all gone", func(l *table) { l.rows = nil }, "cut 1-100"},
		{"another history with the same key", func(l *table) {
			other := newTable(100)
			for i := range other.rows {
				if other.rows[i].Seq > 50 {
					*l.row(other.rows[i].Seq) = other.rows[i]
				}
			}
		}, "forked 51, forked 100, forked 100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := sound.clone()
			c.tamper(l)
			require.Equal(t, c.want, says(l.verify()))
		})
	}
}

// tamper does one random thing to the table, and says what.
func tamper(l *table, rnd *rand.Rand) string {
	n := int64(len(l.rows))
	at := 1 + rnd.Int64N(n)
	r := l.row(at)
	wrong := newSeal([]byte{byte(rnd.IntN(256))})
	switch rnd.IntN(9) {
	case 0:
		return fmt.Sprintf("row %d: %s", at, edit(r, rnd))
	case 1:
		l.remove(at)
		return fmt.Sprintf("row %d deleted", at)
	case 2:
		k := 1 + rnd.Int64N(min(5, n))
		for i := range k {
			l.remove(at + i)
		}
		l.renumber(at, -k)
		return fmt.Sprintf("%d rows from %d on deleted, the rest renumbered", k, at)
	case 3:
		row := l.fake(at, r.Prev)
		l.renumber(at, 1)
		l.rows = append(l.rows, row)
		return fmt.Sprintf("a row slipped in at %d", at)
	case 4:
		other := 1 + rnd.Int64N(n-1)
		if other >= at {
			other++
		}
		o := l.row(other)
		r.Seq, o.Seq = other, at
		return fmt.Sprintf("rows %d and %d swapped", at, other)
	case 5:
		r.Seq = n + 1 + rnd.Int64N(100)
		return fmt.Sprintf("row %d renumbered %d", at, r.Seq)
	case 6:
		for seq := at; seq <= n; seq++ {
			l.remove(seq)
		}
		what := fmt.Sprintf("tail cut from %d on", at)
		if rnd.IntN(2) == 0 && at > 1 {
			l.head = Head{Seq: at - 1, Hash: l.row(at - 1).Hash}
			what += ", head row moved"
			if rnd.IntN(2) == 0 {
				l.mac = l.key.head(l.head.Seq, l.head.Hash) // kept from an earlier time
				what += " with its seal"
			}
		}
		return what
	case 7:
		what := edit(r, rnd)
		for seq := at; seq <= n; seq++ {
			x := l.row(seq)
			if seq > 1 {
				x.Prev = l.row(seq - 1).Hash
			}
			x.Hash = wrong.row(x)
		}
		l.head.Hash = l.row(n).Hash
		l.mac = wrong.head(l.head.Seq, l.head.Hash)
		return fmt.Sprintf("row %d: %s, chained again from there with a wrong key", at, what)
	default:
		l.head.Seq += 1 + rnd.Int64N(3)
		return "head row edited"
	}
}

// edit changes one column, and says which.
func edit(r *Row, rnd *rand.Rand) string {
	flip := func(h *Hash) { h[rnd.IntN(len(h))] ^= 1 << rnd.IntN(8) }
	word := func(s *string) {
		if *s == "" || rnd.IntN(2) == 0 {
			*s += string(rune('a' + rnd.IntN(26)))
			return
		}
		b := []byte(*s)
		b[rnd.IntN(len(b))] ^= 1
		*s = string(b)
	}
	texts := []*string{
		&r.Workflow, &r.Run, &r.Procedure, &r.Step, &r.Effect, &r.Target, (*string)(&r.Outcome), &r.Kind, &r.RequestedBy, &r.Trigger, &r.Worker,
	}
	hashes := []*Hash{&r.Prev, &r.Hash, &r.Key, &r.Input}
	switch column := rnd.IntN(len(texts) + len(hashes) + 6); {
	case column < len(texts):
		word(texts[column])
		return fmt.Sprintf("text column %d edited", column)
	case column < len(texts)+len(hashes):
		flip(hashes[column-len(texts)])
		return fmt.Sprintf("hash column %d edited", column-len(texts))
	case column == len(texts)+len(hashes):
		r.ID[rnd.IntN(16)] ^= 1
		return "id edited"
	case column == len(texts)+len(hashes)+1:
		r.At = r.At.Add(time.Duration(1+rnd.IntN(1_000_000)) * time.Microsecond)
		return "time edited"
	case column == len(texts)+len(hashes)+2:
		r.Nth++
		return "nth edited"
	case column == len(texts)+len(hashes)+3:
		r.Attempt++
		return "attempt edited"
	case column == len(texts)+len(hashes)+4:
		r.DurationMS++
		return "duration edited"
	default:
		if r.Changed == nil {
			r.Changed = no()
		} else {
			r.Changed = nil
		}
		return "changed edited"
	}
}

// TestTenThousandTamperings: each is found.
func TestTenThousandTamperings(t *testing.T) {
	tables := []*table{newTable(2), newTable(17), newTable(100)}
	found := map[Fault]int{}
	for seed := range uint64(10_000) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		l := tables[seed%uint64(len(tables))].clone()
		what := tamper(l, rnd)
		findings := l.verify()
		require.NotEmpty(t, findings, "seed %d: %s", seed, what)
		for _, f := range findings {
			found[f.Fault]++
		}
	}
	for _, f := range []Fault{Edited, Inserted, Deleted, Reordered, Cut, Forged} {
		require.Positive(t, found[f], f)
	}
	t.Log(found)
}

// A million rows that were all renumbered are explained in a few words.
func TestARenumberedLedgerIsOneFinding(t *testing.T) {
	l := newTable(30_000)
	l.remove(3)
	l.renumber(4, -1)
	require.Equal(t, "deleted 3, reordered 3-29999", says(l.verify()))
}

func TestParseIsTheInverseOfBody(t *testing.T) {
	for _, want := range newTable(4).rows {
		got, err := parse(want.body())
		require.NoError(t, err)
		got.Seq, got.Prev, got.Hash = want.Seq, want.Prev, want.Hash
		require.Equal(t, want, got)
	}
	whole := newTable(1).rows[0].body()
	for n := range whole {
		_, err := parse(whole[:n])
		require.ErrorIs(t, err, errShape)
	}
	_, err := parse(append(whole, 0))
	require.ErrorIs(t, err, errShape)
}
