package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// Row is what became of one victim; durations are in milliseconds.
type Row struct {
	Victim string `json:"victim"`
	Kills  int    `json:"kills"`
	Seed   uint64 `json:"seed"`
	// Operations are submits, results and messages sent; Acknowledged those that the
	// services said yes to.
	Operations   int `json:"operations"`
	Acknowledged int `json:"acknowledged"`
	// Broken rules; see judge.go.
	Lost       int `json:"lost"`
	Duplicated int `json:"duplicated_without_attempt"`
	TwoLeases  int `json:"two_valid_leases"`
	FencedAcks int `json:"fenced_acks"`
	Unrecorded int `json:"unrecorded"`
	// ClientErrors are errors that the clients handed to their callers.
	ClientErrors int `json:"client_errors"`
	// LongestGap is the longest time in which no submit of some queue was acknowledged: with
	// a kill in it, that is the takeover as clients feel it. MedianGap is the median over the
	// kills of the longest such time that ended between each and the next.
	LongestGap int64  `json:"longest_gap_ms"`
	MedianGap  int64  `json:"median_gap_ms"`
	Promise    string `json:"promise"`

	// Repeats are executions beyond each task's first, MessageRepeats messages that came
	// again under the same ID; LateRefused results that were refused.
	Repeats        int     `json:"repeats"`
	MessageRepeats int     `json:"message_repeats"`
	LateRefused    int     `json:"late_refused"`
	Takeovers      int     `json:"takeovers"`
	Seconds        float64 `json:"seconds"`
	Phases         []Phase `json:"phases,omitempty"`
	// Stuck says why the victim was given up before all its kills; empty: it was not.
	Stuck      string      `json:"stuck,omitempty"`
	Violations []Violation `json:"violations,omitempty"`
	Errors     []string    `json:"errors,omitempty"`
	WholeRead  bool        `json:"whole_journal"`
	Harms      []Harm      `json:"harms,omitempty"`
}

// Harm is one kill and the longest gap behind it.
type Harm struct {
	At    time.Time `json:"at"`
	What  string    `json:"what"`
	Queue string    `json:"queue"`
	Gap   int64     `json:"gap_ms"`
}

// Phase is what was done in one phase of a run.
type Phase struct {
	Name       string  `json:"name"`
	Seconds    float64 `json:"seconds"`
	Submits    float64 `json:"submits_per_second"`
	Results    float64 `json:"results_per_second"`
	LongestGap int64   `json:"longest_gap_ms"`
}

// Good tells whether the promise was kept.
func (r *Row) Good() bool {
	return r.Stuck == "" && len(r.Violations) == 0 && r.ClientErrors == 0 && r.Kills > 0
}

func newRow(v victim, o options, e Evidence, harms []harm, phases []mark, over time.Time) Row {
	r := Row{
		Victim: v.name, Promise: v.promise, Seed: o.seed, Kills: len(harms), WholeRead: e.Whole,
		Violations: judge(e), Errors: e.Errors, ClientErrors: len(e.Errors),
	}
	if err := thin(e); err != nil {
		r.Stuck = err.Error()
	}
	r.count(e)
	gaps := gapsOf(e.Submits)
	var around []gap
	for i, h := range harms {
		end := time.Now() // what is open when the load ends is answered behind it
		if i+1 < len(harms) {
			end = harms[i+1].at
		}
		g := longest(gaps, h.at, end)
		around = append(around, g)
		r.Harms = append(r.Harms, Harm{h.at, h.what, g.queue, g.took().Milliseconds()})
	}
	if len(around) > 0 {
		slices.SortFunc(around, func(a, b gap) int { return int(a.took() - b.took()) })
		r.LongestGap, r.MedianGap = around[len(around)-1].took().Milliseconds(), around[len(around)/2].took().Milliseconds()
		r.Seconds = over.Sub(harms[0].at).Seconds()
	}
	for i, p := range phases[:max(0, len(phases)-1)] {
		r.Phases = append(r.Phases, phaseOf(p.name, p.at, phases[i+1].at, e, gaps))
	}
	return r
}

func (r *Row) count(e Evidence) {
	for _, v := range r.Violations {
		switch v.Rule {
		case Lost:
			r.Lost++
		case Duplicated:
			r.Duplicated++
		case TwoLeases:
			r.TwoLeases++
		case FencedAck:
			r.FencedAcks++
		case Unrecorded:
			r.Unrecorded++
		}
	}
	r.Operations = len(e.Submits) + len(e.Reports) + len(e.Sent)
	for _, s := range e.Submits {
		if s.Err == "" {
			r.Acknowledged++
		}
	}
	for _, p := range e.Reports {
		if p.Accepted {
			r.Acknowledged++
		} else {
			r.LateRefused++
		}
	}
	for _, s := range e.Sent {
		if s.Stored {
			r.Acknowledged++
		}
	}
	seen := map[Received]bool{}
	for _, m := range e.Received {
		if seen[m] {
			r.MessageRepeats++
		}
		seen[m] = true
	}
	for _, c := range e.Journal {
		if c.What == started && c.Attempt > 1 {
			r.Repeats++
		}
		if c.What == takeover {
			r.Takeovers++
		}
	}
}

// gap is a time in which no submit of one queue was acknowledged.
type gap struct {
	queue    string
	from, to time.Time
}

func (g gap) took() time.Duration { return g.to.Sub(g.from) }

func gapsOf(submits []Submit) []gap {
	times := map[string][]time.Time{}
	for _, s := range submits {
		if s.Err == "" {
			times[s.Queue] = append(times[s.Queue], s.Answered)
		}
	}
	var out []gap
	for queue, list := range times {
		slices.SortFunc(list, time.Time.Compare)
		for i := range list[1:] {
			out = append(out, gap{queue, list[i], list[i+1]})
		}
	}
	return out
}

// longest answers the longest gap that ends within a time.
func longest(gaps []gap, from, to time.Time) gap {
	var out gap
	for _, g := range gaps {
		if g.to.After(from) && !g.to.After(to) && g.took() > out.took() {
			out = g
		}
	}
	return out
}

func phaseOf(name string, from, to time.Time, e Evidence, gaps []gap) Phase {
	p := Phase{Name: name, Seconds: to.Sub(from).Seconds(), LongestGap: longest(gaps, from, to).took().Milliseconds()}
	within := func(t time.Time) bool { return !t.Before(from) && t.Before(to) }
	for _, s := range e.Submits {
		if s.Err == "" && within(s.Answered) {
			p.Submits += 1 / p.Seconds
		}
	}
	for _, r := range e.Reports {
		if r.Accepted && within(r.Answered) {
			p.Results += 1 / p.Seconds
		}
	}
	return p
}

func finalOf(t *hivev1.Task) Final {
	return Final{
		Found: true, Attempt: int(t.GetAttempt()), Err: t.GetError(),
		Completed: t.GetState() == hivev1.TaskState_TASK_STATE_COMPLETED, Dead: t.GetState() == hivev1.TaskState_TASK_STATE_DEAD,
	}
}

// shown is how many violations and errors of a row are printed.
const shown = 12

// printRows writes the rows as a table, and what went wrong below it.
func printRows(out io.Writer, rows []Row) {
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "victim\tkills\toperations\tacknowledged\tlost\tduplicated\ttwo leases\tfenced acks\tunrecorded\tclient errors\tgap (median)\trepeats\tof messages\trefused\t")
	for _, r := range rows {
		fmt.Fprintf(tab, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d ms (%d)\t%d\t%d\t%d\t\n", r.Victim, r.Kills, r.Operations, r.Acknowledged, r.Lost,
			r.Duplicated, r.TwoLeases, r.FencedAcks, r.Unrecorded, r.ClientErrors, r.LongestGap, r.MedianGap, r.Repeats, r.MessageRepeats, r.LateRefused)
	}
	_ = tab.Flush() // to a terminal
	for _, r := range rows {
		for _, p := range r.Phases {
			fmt.Fprintf(out, "%s: %-16s %5.1f s  %6.1f submits/s  %6.1f results/s  longest gap %d ms\n", r.Victim, p.Name, p.Seconds, p.Submits, p.Results, p.LongestGap)
		}
		if r.Stuck != "" {
			fmt.Fprintf(out, "%s: given up: %s\n", r.Victim, r.Stuck)
		}
		for _, v := range r.Violations[:min(shown, len(r.Violations))] {
			fmt.Fprintf(out, "%s: %s: %s\n", r.Victim, v.Rule, v.Text)
		}
		for _, text := range r.Errors[:min(shown, len(r.Errors))] {
			fmt.Fprintf(out, "%s: client error: %s\n", r.Victim, text)
		}
	}
}
