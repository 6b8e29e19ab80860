package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// phase is one part of the run, for the table at its end.
type phase struct {
	name string
	took time.Duration
}

// phases are timed in order; each says that it begins, because the first ones take minutes on an empty machine.
type phases struct {
	out  io.Writer
	done []phase
}

func (p *phases) do(ctx context.Context, name string, work func(context.Context) error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted before %s", name)
	}
	fmt.Fprintf(p.out, "\n== %s\n", name)
	begun := time.Now()
	err := work(ctx)
	p.done = append(p.done, phase{name, time.Since(begun)})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// split takes a part out of a phase that has ended and gives it a row of its own.
func (p *phases) split(name, part string, took time.Duration) {
	for i := range p.done {
		if p.done[i].name == name {
			took = min(took, p.done[i].took)
			p.done[i].took -= took
			p.done = append(p.done[:i+1], append([]phase{{part, took}}, p.done[i+1:]...)...)
			return
		}
	}
}

func (p *phases) print() {
	t := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\nPHASE\tTOOK\t")
	var all time.Duration
	for _, done := range p.done {
		all += done.took
		fmt.Fprintf(t, "%s\t%s\t\n", done.name, done.took.Round(100*time.Millisecond))
	}
	fmt.Fprintf(t, "all\t%s\t\n", all.Round(100*time.Millisecond))
	_ = t.Flush()
}
