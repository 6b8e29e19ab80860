// Command chaos is `make chaos`: it kills opsworker and Temporal at every step of every procedure, on a mini stack of
// its own, and proves that each run ends as if nobody had died. docs/chaos.md explains the table.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/leanvibe/hive/tests/chaos/bench"
	"github.com/leanvibe/hive/tests/chaos/matrix"
)

func main() {
	var c matrix.Config
	var only string
	dir := flag.String("project", ".", "the project's root")
	flag.BoolVar(&c.All, "all", false, "add every kill that out/chaos.json lacks of this commit, without a time limit")
	flag.Uint64Var(&c.Seed, "seed", uint64(time.Now().Unix()), "replays the kills of a run that was made with it")
	flag.IntVar(&c.Benches, "benches", 2, "mini stacks side by side, 1 to 9")
	flag.DurationVar(&c.Limit, "limit", 25*time.Minute, "begin no run later than this")
	flag.StringVar(&only, "only", "", "scenarios to kill in, by name, with commas between them")
	flag.StringVar(&c.Step, "step", "", "kill at this step alone, such as containers.CreateReplica")
	flag.StringVar(&c.Point, "point", "", "kill at this point alone: before, effect or after")
	flag.Parse()
	if flag.NArg() > 0 || c.Benches < 1 || c.Benches > 9 {
		fmt.Fprintf(os.Stderr, "chaos: unexpected argument %q, or a number of benches that is none of 1 to 9; see --help\n", flag.Arg(0))
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
	if err := run(ctx, *dir, c); err != nil {
		fmt.Fprintln(os.Stderr, "\nchaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, c matrix.Config) error {
	root, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	c.Dir, c.File, c.Out = filepath.Join(root, "out", "chaos"), filepath.Join(root, "out", "chaos.json"), os.Stdout
	if c.Commit, err = commit(ctx, root); err != nil {
		return err
	}
	if c.Images, err = bench.Images(ctx, environment(filepath.Join(root, "deploy", "production", ".env"))); err != nil {
		return err
	}
	if err := build(ctx, root, filepath.Join(c.Dir, "bin")); err != nil {
		return err
	}
	rows, err := matrix.Run(ctx, c)
	fmt.Println()
	matrix.Print(os.Stdout, rows)
	return err
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
