package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == serveNATS {
		exit(natsMain(os.Args[2:], os.Stdin, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func exit(err error) {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

const usage = `peers measures task queues and message hubs beside ours, in one run on one machine.

Each contender has its servers as processes of their own and one client process,
tasks of 128 bytes, one acknowledgement per task. A figure is the median of the
runs. If a task is lost or acknowledged twice, its row is "no data".

  go run .                                    everything, about 20 minutes
  go run . --only streams,orchestrator        two contenders
  go run . --runs 5 --duration 10s            longer, calmer
  go run . --durability always                only with a sync before every answer
  go run . --only orchestrator --durability everysec --steady 25000 --duration 10m --runs 1
                                              no more than one even load, and whether all of it is done once
  go run . --json ../../out/peers.json        the table as JSON, too

Contenders:
`

// run reads the arguments, measures and reports.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	p := &Plan{Progress: progress}
	set := flag.NewFlagSet("peers", flag.ContinueOnError)
	set.SetOutput(out)
	only := set.String("only", "", "names of contenders, separated by commas (default all)")
	durability := set.String("durability", "", "everysec or always (default both)")
	file := set.String("json", "", "write the rows to this file as well")
	set.DurationVar(&p.Duration, "duration", 5*time.Second, "length of one run")
	set.DurationVar(&p.WarmUp, "warmup", 2*time.Second, "load before the first run, not measured")
	set.IntVar(&p.Runs, "runs", 3, "runs of each figure; their median counts")
	set.Float64Var(&p.Steady, "steady", 0, "in place of all else, pace each contender at so many a second for --duration")
	set.Usage = func() {
		fmt.Fprint(out, usage)
		for _, s := range contenders() {
			fmt.Fprintf(out, "  %-15s %s: %s\n", s.Name, s.Room, s.About)
		}
		fmt.Fprintln(out, "\nFlags:")
		set.PrintDefaults()
	}
	if err := set.Parse(args); err != nil {
		return err
	}
	if err := p.choose(*only, *durability, set.Args()); err != nil {
		return err
	}
	var err error
	if p.Checkout, err = checkout(ctx); err != nil {
		return err
	}
	results := p.Run(ctx)
	list := rows(results)
	if p.Steady > 0 {
		list = steadyRows(results)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("stopped before the end: %w", context.Cause(ctx))
	}
	if err := printTable(out, list); err != nil || *file == "" {
		return err
	}
	return writeJSON(*file, list)
}

// choose checks the arguments and fills the plan.
func (p *Plan) choose(only, durability string, rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("unexpected argument %q: everything is a flag, for example --only streams", rest[0])
	}
	if p.Duration <= 0 || p.WarmUp <= 0 || p.Runs < 1 {
		return errors.New("--duration, --warmup and --runs must be more than zero, for example --duration 5s --warmup 2s --runs 3")
	}
	switch Durability(durability) {
	case "":
		p.Durabilities = []Durability{EverySec, Always}
	case EverySec, Always:
		p.Durabilities = []Durability{Durability(durability)}
	default:
		return fmt.Errorf("--durability %q: must be everysec or always, for example --durability always", durability)
	}
	p.Specs = contenders()
	if only == "" {
		return nil
	}
	all := p.Specs
	p.Specs = nil
	for name := range strings.SplitSeq(only, ",") {
		s, ok := find(all, strings.TrimSpace(name))
		if !ok {
			return fmt.Errorf("--only %q: must be of %s, for example --only streams,orchestrator", name, strings.Join(names(all), ", "))
		}
		p.Specs = append(p.Specs, s)
	}
	return nil
}

// checkout is the root of the product's module, which this one stands beside.
func checkout(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/leanvibe/hive").Output()
	if err != nil {
		return "", fmt.Errorf("run it in tests/peers of a checkout: go list -m github.com/leanvibe/hive: %w", err)
	}
	return filepath.Clean(strings.TrimSpace(string(out))), nil
}
