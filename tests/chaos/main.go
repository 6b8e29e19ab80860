// Command chaos is `make chaos`: it kills opsworker and Temporal at every step of every procedure, on a mini stack of
// its own, and proves that each run ends as if nobody had died. docs/chaos.md explains the table.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/leanvibe/hive/tests/chaos/bench"
	"github.com/leanvibe/hive/tests/chaos/matrix"
	"github.com/leanvibe/hive/tests/chaos/whole"
)

func main() {
	var c matrix.Config
	var w whole.Config
	var only, part string
	dir := flag.String("project", ".", "the project's root")
	flag.BoolVar(&c.All, "all", false, "add every kill that out/chaos.json lacks of this commit, without a time limit")
	flag.Uint64Var(&c.Seed, "seed", uint64(time.Now().Unix()), "replays the kills of a run that was made with it")
	flag.IntVar(&c.Benches, "benches", 2, "mini stacks side by side, 1 to 9")
	flag.DurationVar(&c.Limit, "limit", 47*time.Minute, "begin no run later than this; of both parts, the steps get half")
	flag.StringVar(&only, "only", "", "scenarios to kill in, by name, with commas between them")
	flag.StringVar(&c.Step, "step", "", "kill at this step alone, such as containers.CreateReplica")
	flag.StringVar(&c.Point, "point", "", "kill at this point alone: before, effect or after")
	flag.StringVar(&part, "part", "steps", "steps (mini stacks), random (the whole stack, which must be up), or both")
	flag.IntVar(&w.Runs, "runs", 12, "runs of the whole stack with kills at random moments")
	flag.IntVar(&w.Kills, "kills", 100, "kills at random moments, over all runs")
	flag.IntVar(&w.Rate, "rate", 500, "load on the whole stack, requests a second")
	flag.Parse()
	if flag.NArg() > 0 || c.Benches < 1 || c.Benches > 9 || !slices.Contains([]string{"steps", "random", "both"}, part) {
		fmt.Fprintf(os.Stderr, "chaos: unexpected argument %q, a number of benches that is none of 1 to 9, or a part that is none of steps, random, both; see --help\n", flag.Arg(0))
		os.Exit(2)
	}
	if only != "" {
		c.Only = strings.Split(only, ",")
	}
	if c.All {
		c.Limit = 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, part, c, w); err != nil {
		fmt.Fprintln(os.Stderr, "\nchaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, part string, c matrix.Config, w whole.Config) error {
	root, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	began := time.Now()
	c.Dir, c.File, c.Out = filepath.Join(root, "out", "chaos"), filepath.Join(root, "out", "chaos.json"), os.Stdout
	if c.Commit, err = commit(ctx, root); err != nil {
		return err
	}
	w.Root, w.Dir, w.Seed, w.Commit, w.Out = root, c.Dir, c.Seed, c.Commit, c.Out
	if c.Limit > 0 {
		w.Until = began.Add(c.Limit)
	}
	var rows []matrix.Row
	if part != "random" {
		if part == "both" {
			c.Limit /= 2
		}
		rows, err = steps(ctx, root, c)
	}
	if part != "steps" && ctx.Err() == nil {
		more, failed := whole.Run(ctx, w)
		rows, err = random(c.File, more, errors.Join(err, failed))
	}
	fmt.Println()
	matrix.Print(os.Stdout, rows)
	return err
}

// steps kills at steps, on the mini stacks.
func steps(ctx context.Context, root string, c matrix.Config) (rows []matrix.Row, err error) {
	if c.Images, err = bench.Images(ctx, environment(filepath.Join(root, "deploy", "production", ".env"))); err != nil {
		return nil, err
	}
	if err := build(ctx, root, filepath.Join(c.Dir, "bin")); err != nil {
		return nil, err
	}
	return matrix.Run(ctx, c)
}

// random adds the rows of kills at random moments to the file, and judges them.
func random(file string, more []matrix.Row, err error) ([]matrix.Row, error) {
	bad := 0
	for _, r := range more {
		if !r.Good() {
			bad++
		}
	}
	switch {
	case len(more) == 0:
		err = errors.Join(err, errors.New("nobody was killed at a random moment"))
	case bad > 0:
		err = errors.Join(err, fmt.Errorf("%d of %d random kills fell into a run that did not end as it must; see out/chaos/whole", bad, len(more)))
	}
	rows, failed := matrix.Add(file, more)
	return rows, errors.Join(err, failed)
}

// build compiles what the kit starts: the opsworker with the killer, the mini stack's app, the platform's Temporal.
func build(ctx context.Context, root, bin string) error {
	for _, p := range []struct{ dir, pkg, name string }{
		{root, "./tests/chaos/opsworker", "opsworker"}, {root, "./tests/chaos/app", "app"}, {filepath.Join(root, "deploy", "temporal"), ".", "temporal"},
	} {
		fmt.Println("build", p.name)
		cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w -X main.version=dev", "-o", filepath.Join(bin, p.name), p.pkg)
		cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build of %s: %w", p.name, err)
		}
	}
	return nil
}

// commit names what is tested; changes that nobody committed make it another one.
func commit(ctx context.Context, root string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("which commit is this? git describe: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// environment reads a file of NAME=value lines; none where there is no file.
func environment(path string) map[string]string {
	out := map[string]string{}
	f, err := os.Open(path)
	if err != nil {
		return out
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		if name, value, ok := strings.Cut(in.Text(), "="); ok && !strings.HasPrefix(name, "#") {
			out[name] = value
		}
	}
	return out
}
