// Command chaos is `make chaos`: it kills opsworker and Temporal at every step of every procedure, on a mini stack of
// its own, and proves that each run ends as if nobody had died. docs/chaos.md explains the table.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
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
	flag.DurationVar(&c.Limit, "limit", 47*time.Minute, "begin no run later than this; the parts share it")
	flag.StringVar(&only, "only", "", "scenarios to kill in, by name, with commas between them")
	flag.StringVar(&c.Step, "step", "", "kill at this step alone, such as containers.CreateReplica")
	flag.StringVar(&c.Point, "point", "", "kill at this point alone: before, effect or after")
	flag.StringVar(&part, "part", "engine,steps,random", "what to do, in this order: engine (a mini stack on an engine of its own, which dies too), steps (mini stacks), random (the whole stack, which must be up)")
	flag.IntVar(&w.Runs, "runs", 12, "runs of the whole stack with kills at random moments")
	flag.IntVar(&w.Kills, "kills", 100, "kills at random moments, over all runs")
	flag.IntVar(&w.Rate, "rate", 500, "load on the whole stack, requests a second")
	c.Images = map[string]string{}
	flag.Func("image", "service=image: what a store, the proxy or monitoring runs (default: what hive up made)", func(s string) error {
		service, image, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("%q: want service=image", s)
		}
		c.Images[service] = image
		return nil
	})
	flag.Parse()
	parts := strings.Split(part, ",")
	if only != "" {
		c.Only = strings.Split(only, ",")
	}
	if err := wrong(flag.Args(), parts, c); err != nil {
		fmt.Fprintf(os.Stderr, "chaos: %v; see --help\n", err)
		os.Exit(2)
	}
	// The file is begun anew by a call that does everything.
	fresh := !c.All && len(parts) == 3 && only == "" && c.Step == "" && c.Point == ""
	if c.All {
		c.Limit = 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, parts, fresh, c, w); err != nil {
		fmt.Fprintln(os.Stderr, "\nchaos:", err)
		os.Exit(1)
	}
}

// wrong refuses a call before anything is made or killed.
func wrong(args, parts []string, c matrix.Config) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	if c.Benches < 1 || c.Benches > 9 {
		return fmt.Errorf("--benches is %d: want 1 to 9", c.Benches)
	}
	known := []string{"engine", "steps", "random"}
	for _, p := range parts {
		if !slices.Contains(known, p) {
			return fmt.Errorf("--part names %q: want some of %s, for example --part steps", p, strings.Join(known, ", "))
		}
	}
	var scenarios []string
	for _, s := range matrix.Scenarios {
		scenarios = append(scenarios, s.Name)
	}
	for _, name := range c.Only {
		if !slices.Contains(scenarios, name) {
			return fmt.Errorf("--only names %q: want some of these, with commas between them: %s", name, strings.Join(scenarios, ", "))
		}
	}
	return nil
}

// alone refuses a second kit in the same project: each would kill what the other
// measures. The engine's part calls this program again, in a namespace, and is the
// same kit.
func alone(dir string) (release func(), err error) {
	if os.Getenv(bench.HostEngine) != "" {
		return func() {}, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another chaos kit is at work in this project (it holds %s): wait until it has ended: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

func run(ctx context.Context, dir string, parts []string, fresh bool, c matrix.Config, w whole.Config) error {
	root, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	c.Dir, c.File, c.Out = filepath.Join(root, "out", "chaos"), filepath.Join(root, "out", "chaos.json"), os.Stdout
	release, err := alone(c.Dir)
	if err != nil {
		return err
	}
	defer release()
	if c.Commit, err = commit(ctx, root); err != nil {
		return err
	}
	w.Root, w.Dir, w.Seed, w.Commit, w.Out = root, c.Dir, c.Seed, c.Commit, c.Out
	if fresh {
		if err := os.Remove(c.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	var errs []error
	until := time.Now().Add(c.Limit)
	for i, part := range parts {
		if ctx.Err() != nil {
			break
		}
		if c.Limit > 0 { // what is left is shared by the parts that are left
			c.Limit = time.Until(until) / time.Duration(len(parts)-i)
			w.Until = time.Now().Add(c.Limit)
		}
		errs = append(errs, one(ctx, root, part, c, w))
	}
	rows, err := matrix.Read(c.File)
	fmt.Println()
	matrix.Print(os.Stdout, rows)
	return errors.Join(append(errs, err)...)
}

// one does one part.
func one(ctx context.Context, root, part string, c matrix.Config, w whole.Config) error {
	switch {
	case part == "steps":
		return steps(ctx, root, c)
	case part == "random":
		more, err := whole.Run(ctx, w)
		return random(c.File, more, err)
	case os.Getenv(bench.HostEngine) == "":
		return enter(ctx, root, c)
	default:
		more, err := matrix.Restless(ctx, c, engineRuns, engineKills)
		return random(c.File, more, err)
	}
}

// The engine's part is short: it is about one more victim.
const engineRuns, engineKills = 3, 24

// enter does the engine's part in a network namespace of its own, once what it needs from outside of it is there.
func enter(ctx context.Context, root string, c matrix.Config) error {
	if err := build(ctx, root, filepath.Join(c.Dir, "bin")); err != nil {
		return err
	}
	images, err := bench.Images(ctx, environment(filepath.Join(root, "deploy", "production", ".env")))
	if err != nil {
		return err
	}
	args := []string{"--project", root, "--part", "engine", "--limit", c.Limit.String(), "--seed", fmt.Sprint(c.Seed)}
	for service, image := range images {
		args = append(args, "--image", service+"="+image)
	}
	return bench.Enter(ctx, args)
}

// steps kills at steps, on the mini stacks.
func steps(ctx context.Context, root string, c matrix.Config) error {
	found, err := bench.Images(ctx, environment(filepath.Join(root, "deploy", "production", ".env")))
	if err != nil {
		return err
	}
	maps.Copy(found, c.Images)
	c.Images = found
	if err := build(ctx, root, filepath.Join(c.Dir, "bin")); err != nil {
		return err
	}
	_, err = matrix.Run(ctx, c)
	return err
}

// random adds the rows of kills at random moments to the file, and judges them.
func random(file string, more []matrix.Row, err error) error {
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
		err = errors.Join(err, fmt.Errorf("%d of %d random kills fell into a run that did not end as it must; see out/chaos/whole and out/chaos/runs", bad, len(more)))
	}
	_, failed := matrix.Add(file, more)
	return errors.Join(err, failed)
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
