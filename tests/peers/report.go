package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

// Bars. Tasks: faster than every peer, and when that is raw Streams, by a factor;
// start p99 below all peers'. Messages, at everysec: as many as the peer and so
// many a second; start p99 at half load in ms.
const (
	barStreams     = 1.2
	barMessages    = 90_000
	barMessagesP99 = 25
)

// Row is one line of the table and of the JSON. What has no value has null, and
// the note says why: "no data" is a verdict of its own.
type Row struct {
	Name  string   `json:"name"`
	Value *float64 `json:"value"`
	Unit  string   `json:"unit"`
	Bar   *float64 `json:"bar"`
	Met   *bool    `json:"met"`
	Peer  string   `json:"peer"`
	Ratio *float64 `json:"ratio"`
	Note  string   `json:"note,omitempty"`
}

// rows answers the results as rows, ours beside the best peer at the same durability.
func rows(results []*Result) []Row {
	var out []Row
	for _, r := range results {
		out = append(out, throughputRow(r, results))
		for i := range r.Delays {
			out = append(out, delayRow(r, results, i, "p50"), delayRow(r, results, i, "p99"))
		}
	}
	return out
}

// steadyRows answers only the delays: nobody was asked for its most.
func steadyRows(results []*Result) []Row {
	var out []Row
	for _, r := range results {
		for _, d := range r.Delays {
			for _, f := range []struct {
				what string
				Figure
			}{{"p50", d.P50}, {"p99", d.P99}} {
				out = append(out, newRow(rowName(r, fmt.Sprintf("start %s at %.0f/s", f.what, d.Rate)), "ms", f.Figure))
			}
		}
	}
	return out
}

func rowName(r *Result, what string) string {
	return fmt.Sprintf("%s/%s/%s/%s", r.Spec.Room, r.Durability, r.Spec.Name, what)
}

func newRow(name, unit string, f Figure) Row {
	row := Row{Name: name, Unit: unit}
	if f.NoData != nil {
		row.Note = f.NoData.Error()
	} else {
		row.Value = &f.Value
	}
	return row
}

func throughputRow(r *Result, all []*Result) Row {
	row := newRow(rowName(r, "throughput"), string(r.Spec.Room)+"/s", r.Throughput)
	if r.Spec.Part != Ours {
		return row
	}
	pick := func(o *Result) Figure { return o.Throughput }
	name, best, ok := bestPeer(r, all, pick, func(a, b float64) bool { return a > b })
	bar := best
	switch {
	case r.Spec.Room == Messages && r.Durability == EverySec:
		bar = max(bar, barMessages)
	case !ok:
		return row // nobody to be held against
	case name == streamsSpec().Name:
		bar = barStreams * best
	}
	return row.beside(name, best).heldTo(bar, func(v float64) bool { return v >= bar })
}

func delayRow(r *Result, all []*Result, i int, which string) Row {
	pick := func(o *Result) Figure {
		if i >= len(o.Delays) {
			return Figure{NoData: errNotMeasured}
		}
		if which == "p50" {
			return o.Delays[i].P50
		}
		return o.Delays[i].P99
	}
	row := newRow(rowName(r, fmt.Sprintf("start %s at %s", which, rateName(r, i))), "ms", pick(r))
	if rate := r.Delays[i].Rate; row.Note == "" {
		row.Note = fmt.Sprintf("at %.0f/s", rate)
	}
	if r.Spec.Part != Ours {
		return row
	}
	if r.Spec.Room == Messages && i > 0 {
		// Each at half of its own: two rates, so no ratio.
		if which == "p99" && r.Durability == EverySec {
			return row.heldTo(barMessagesP99, func(v float64) bool { return v <= barMessagesP99 })
		}
		return row
	}
	name, best, ok := bestPeer(r, all, pick, func(a, b float64) bool { return a < b })
	if !ok {
		return row
	}
	row = row.beside(name, best)
	if r.Spec.Room == Tasks && which == "p99" {
		return row.heldTo(best, func(v float64) bool { return v < best })
	}
	return row
}

var errNotMeasured = errors.New("not measured")

// rateName names a rate the same way in every run, whatever it came to.
func rateName(r *Result, i int) string {
	switch {
	case i == 0:
		return "2000/s"
	case r.Spec.Room == Messages:
		return "half its own"
	default:
		return "half the slowest"
	}
}

// bestPeer is the rival in the same room and durability whose figure is best.
func bestPeer(r *Result, all []*Result, pick func(*Result) Figure, better func(a, b float64) bool) (name string, best float64, ok bool) {
	for _, o := range all {
		if o.Spec.Room != r.Spec.Room || o.Durability != r.Durability || o.Spec.Part != Rival {
			continue
		}
		if f := pick(o); f.NoData == nil && (!ok || better(f.Value, best)) {
			name, best, ok = o.Spec.Name, f.Value, true
		}
	}
	return name, best, ok
}

// beside sets the row beside the best peer's figure.
func (row Row) beside(peer string, best float64) Row {
	row.Peer = peer
	if row.Value != nil && best > 0 {
		ratio := *row.Value / best
		row.Ratio = &ratio
	}
	return row
}

// heldTo sets the row's bar. Without a value it is not met.
func (row Row) heldTo(bar float64, met func(float64) bool) Row {
	ok := row.Value != nil && met(*row.Value)
	row.Bar, row.Met = &bar, &ok
	return row
}

// printTable prints rows for people.
func printTable(out io.Writer, list []Row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tvalue\tunit\tbar\tmet\tpeer\tratio\tnote")
	for _, r := range list {
		met := "-"
		if r.Met != nil {
			met = map[bool]string{true: "yes", false: "NO"}[*r.Met]
		}
		value := "no data"
		if r.Value != nil {
			value = number(r.Value)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, value, r.Unit, number(r.Bar), met, orDash(r.Peer), number(r.Ratio), r.Note)
	}
	return w.Flush()
}

func number(v *float64) string {
	switch {
	case v == nil:
		return "-"
	case *v >= 1000:
		return fmt.Sprintf("%.0f", *v)
	default:
		return fmt.Sprintf("%.3g", *v)
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// writeJSON writes rows under the final name only when they are complete.
func writeJSON(path string, list []Row) error {
	raw, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	part := path + ".part"
	if err := os.WriteFile(part, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(part, path)
}
