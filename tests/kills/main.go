// Command kills is `make kills`: real processes of the hot path harmed at random moments under load, with every operation
// recorded on both sides. An orchestrator, a hub, an engine and a Redis master are killed, an orchestrator is cut from the
// network, an agent is stopped past its lease, replicas go from one to three and back. The records are judged by the pure
// function judge; docs/kills.md says what is promised.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// journalWhole is a journal that is never trimmed, so that the judge can read all of it.
const journalWhole = 1 << 15

func main() {
	if len(os.Args) == 4 && os.Args[1] == agentArgument {
		exit(runAgent(os.Args[2], os.Args[3]))
	}
	exit(harness())
}

// quiet is go-redis's log to nowhere.
type quiet struct{}

// Printf does nothing.
func (quiet) Printf(context.Context, string, ...any) {}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "kills:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func harness() error {
	var o options
	names := make([]string, 0, len(victims()))
	for _, v := range victims() {
		names = append(names, v.name)
	}
	which := flag.String("victim", "all", "who is harmed: all, or a comma list of "+strings.Join(names, ", "))
	flag.IntVar(&o.kills, "kills", 100, "kills of each victim (replicas: a tenth of it)")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "chooses whom and when; replays the choices, not the machine's timing")
	flag.IntVar(&o.rate, "rate", 100, "tasks submitted a second")
	flag.IntVar(&o.journalMiB, "journal-mib", journalWhole, "journal before a snapshot, in MiB; small: snapshots are taken and the journal is judged in part only")
	flag.IntVar(&o.wait, "wait", 1, "Redis replicas that must confirm; 0 breaks the promise and shows what the judge sees then")
	file := flag.String("json", "out/kills.json", "where the rows go")
	bin := flag.String("bin", "", "folder with orchestrator, hub and engine; empty: they are built")
	keep := flag.Bool("keep", false, "keep the folder with logs and Redis's files")
	flag.BoolVar(&o.verbose, "verbose", false, "say each kill")
	flag.Parse()
	chosen, err := choose(*which)
	if err != nil {
		return err
	}
	if o.kills < 1 || o.rate < 1 {
		return fmt.Errorf("--kills %d, --rate %d: want at least 1 of each", o.kills, o.rate)
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer endAll()
	if o.dir, err = os.MkdirTemp("", "kills"); err != nil {
		return err
	}
	defer func() {
		if !*keep {
			_ = os.RemoveAll(o.dir)
		}
	}()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	redis.SetLogger(quiet{}) // that nodes are away is the point
	if o.bin = *bin; o.bin == "" {
		o.bin = filepath.Join(o.dir, "bin")
		if err := build(ctx, o.bin); err != nil {
			return err
		}
	}
	fmt.Printf("seed %d, logs in %s\n", o.seed, o.dir)
	var rows []Row
	for _, v := range chosen {
		with := o
		if v.spares > 0 {
			with.kills = max(1, o.kills/10)
		}
		row, err := run(ctx, v, with)
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		rows = append(rows, row)
		if err := write(*file, rows); err != nil { // after each: the rest may take an hour
			return err
		}
	}
	printRows(os.Stdout, rows)
	for _, r := range rows {
		if !r.Good() {
			err = errors.Join(err, fmt.Errorf("%s: a promise was broken", r.Victim))
		}
	}
	return err
}

func choose(which string) ([]victim, error) {
	if which == "all" {
		return victims(), nil
	}
	var out []victim
	for name := range strings.SplitSeq(which, ",") {
		found := false
		for _, v := range victims() {
			if v.name == name {
				out, found = append(out, v), true
			}
		}
		if !found {
			return nil, fmt.Errorf("--victim %q is not known: see --help", name)
		}
	}
	return out, nil
}

func build(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), "./cmd/orchestrator", "./cmd/hub", "./cmd/engine")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	return nil
}

func write(file string, rows []Row) error {
	raw, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o600)
}
