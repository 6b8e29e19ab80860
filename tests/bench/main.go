// Command bench is `make bench`: it measures the figures of the hot path against
// their bars, prints a table and writes out/bench.json.
//
//	go run ./tests/bench [-only matcher] [-out out/bench.json]
//
// It ends with 0 when every row that was asked for met its bar, with 1 when one
// missed it or could not be measured, with 2 when it was called wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// contender measures one group of rows. It returns a row for each of its names
// whatever happens: one that it could not measure is noData.
type contender struct {
	name, about string
	measure     func(ctx context.Context, say func(format string, args ...any)) []Row
}

// contenders are the groups, one file each.
var contenders = []contender{
	{"matcher", "100k and 1k agents, 1M waiting tasks, in one process (about half a minute)", measureMatcher},
	{"partition", "matcher and journal together, on a Redis of its own with everysec (about a quarter of a minute)", measurePartition},
	{"server", "cmd/orchestrator as it ships, with streams of tasks and agents over HTTP/2 (about half a minute)", measureServer},
	{"memory", "cmd/orchestrator with ten thousand agents and a hundred thousand waiting tasks (up to a minute)", measureMemory},
}

const example = `
Example, only the matcher, figures beside the usual ones:

  go run ./tests/bench -only matcher -out out/bench-matcher.json

Measure on a machine that does nothing else: the bars are wall-clock time.
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "", "the groups to measure, separated by commas (default: all)")
	out := flags.String("out", "out/bench.json", "where the rows are written")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "Usage: go run ./tests/bench [-only GROUP,...] [-out FILE]")
		flags.PrintDefaults()
		fmt.Fprintln(stderr, "\nGroups:")
		for _, c := range contenders {
			fmt.Fprintf(stderr, "  %-10s %s\n", c.name, c.about)
		}
		fmt.Fprint(stderr, example)
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "bench: unexpected argument %q; see --help\n", flags.Arg(0))
		return 2
	}
	chosen, err := choose(*only)
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rows := measure(ctx, chosen, stderr)
	if err := errors.Join(printTable(stdout, rows), writeRows(*out, rows)); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	if !allMet(rows) {
		return 1
	}
	return 0
}

// choose returns the groups named in only, in the order of contenders.
func choose(only string) ([]contender, error) {
	if only == "" {
		return contenders, nil
	}
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(only, ",") {
		wanted[strings.TrimSpace(name)] = true
	}
	var chosen []contender
	var names []string
	for _, c := range contenders {
		names = append(names, c.name)
		if wanted[c.name] {
			chosen = append(chosen, c)
			delete(wanted, c.name)
		}
	}
	for name := range wanted {
		return nil, fmt.Errorf("-only names %q: expected some of %s, for example -only %s", name, strings.Join(names, ", "), names[0])
	}
	return chosen, nil
}

// measure runs the groups one after the other and says on progress how far it is.
func measure(ctx context.Context, chosen []contender, progress io.Writer) []Row {
	var rows []Row
	for i, c := range chosen {
		began := time.Now()
		say := func(format string, args ...any) {
			fmt.Fprintf(progress, "[%d/%d] %s %5.1fs  %s\n", i+1, len(chosen), c.name, time.Since(began).Seconds(), fmt.Sprintf(format, args...))
		}
		say("begins: %s", c.about)
		rows = append(rows, c.measure(ctx, say)...)
		say("done")
	}
	return rows
}
