// Command beside is `make beside`: the same weekly work twice on the running stack, under the same load. Once by the
// runbook's own commands, once by WeeklyMaintenance. It prints how long each took and what users lost. The stack must
// be up (hive up).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/leanvibe/hive/tests/composecli"
	"github.com/leanvibe/hive/tests/load"
	"github.com/leanvibe/hive/workflows/runbook"
)

// side is one way of doing the work.
type side struct {
	name string
	work func(context.Context) error
	// windows are the monitor windows of the policy within took.
	windows, took time.Duration
	result        *load.Result
	err           error
}

func main() {
	rate := flag.Int("rate", 500, "requests a second")
	path := flag.String("out", "out/beside.json", "where the figures go")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := compare(ctx, *rate, *path); err != nil {
		fmt.Fprintln(os.Stderr, "beside:", err)
		os.Exit(1)
	}
}

func compare(ctx context.Context, rate int, path string) error {
	dir, err := os.MkdirTemp("", "hive-beside-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fmt.Println("== building the Compose CLI")
	compose, err := composecli.Build(ctx, dir)
	if err != nil {
		return err
	}
	sides := []*side{{name: "the runbook's commands"}, {name: "WeeklyMaintenance"}}
	sides[0].work = func(ctx context.Context) error { return byHand(ctx, compose) }
	sides[1].work = func(ctx context.Context) (err error) {
		sides[1].windows, err = byProcedure(ctx)
		return err
	}
	for _, s := range sides {
		fmt.Println("== a newer image of every application")
		if err := run(ctx, "out/bin/hive", "up", "--newer"); err != nil {
			return err
		}
		fmt.Println("==", s.name)
		if err := s.measure(ctx, rate); err != nil {
			return err
		}
	}
	show(sides)
	return errors.Join(save(path, sides), sides[1].err)
}

// measure does the work under load. What went wrong with the work itself is kept: it is a figure.
func (s *side) measure(ctx context.Context, rate int) error {
	loader, err := load.Start(context.WithoutCancel(ctx), load.Config{Rate: rate})
	if err != nil {
		return err
	}
	loader.Mark(load.During)
	begun := time.Now()
	s.err = s.work(ctx)
	s.took = time.Since(begun)
	loader.Mark(load.After)
	s.result, err = loader.Stop(context.WithoutCancel(ctx))
	return errors.Join(err, ctx.Err())
}

// byHand is the chapter "Weekly Maintenance" of the runbook as it is written. Left out is `docker system prune`: it
// would reach what is not this stack's. Its readiness script, which nobody has, is ReadinessCheck.
func byHand(ctx context.Context, compose composecli.CLI) error {
	if err := compose.Run(ctx, "pull", "universal-orchestrator", "communication-hub", "specialized-engines"); err != nil {
		return err
	}
	for _, service := range []string{"universal-orchestrator", "communication-hub", "specialized-engines"} {
		if err := compose.Run(ctx, "up", "-d", "--no-deps", service); err != nil {
			return err
		}
		select { // the runbook's "sleep 30"
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(30 * time.Second):
		}
	}
	var failed error
	for _, command := range [][]string{
		{"out/bin/hive", "run", "ReadinessCheck", "--output", "json"},
		psql("VACUUM ANALYZE"), psql("REINDEX DATABASE leanvibe_production"), psql("ANALYZE"),
		psql("SELECT schemaname, tablename, pg_total_relation_size(schemaname||'.'||tablename) FROM pg_tables ORDER BY 3 DESC LIMIT 10"),
		{"find", "logs/", "-name", "*.log", "-mtime", "+7", "-exec", "gzip", "{}", ";"},
		{"find", "logs/", "-name", "*.log.gz", "-mtime", "+30", "-delete"},
	} {
		failed = errors.Join(failed, run(ctx, command[0], command[1:]...))
	}
	return failed
}

func psql(statement string) []string {
	return []string{"docker", "exec", "leanvibe-postgres-primary-1", "psql", "-q", "-U", "leanvibe", "-d", "leanvibe_production", "-c", statement}
}

// byProcedure runs WeeklyMaintenance and answers how much of it were the policy's monitor windows.
func byProcedure(ctx context.Context) (time.Duration, error) {
	out, err := exec.CommandContext(ctx, "out/bin/hive", "run", "WeeklyMaintenance", "--output", "json").Output()
	var report runbook.Report
	if bad := json.Unmarshal(out, &report); bad != nil {
		return 0, errors.Join(err, bad)
	}
	// Services roll side by side, each watching one replica after the other: what the windows cost the run is what they
	// cost the service that was watched longest.
	watched := map[string]time.Duration{}
	var windows time.Duration
	for _, s := range report.Steps {
		if s.Name == runbook.MeasureWindow.Name {
			service := s.Target[:max(0, strings.LastIndex(s.Target, "-"))]
			watched[service] += s.Finished.Sub(s.Started)
			windows = max(windows, watched[service])
		}
	}
	if report.Outcome != runbook.Succeeded {
		err = fmt.Errorf("WeeklyMaintenance %s: %s", report.Outcome, report.Reason)
	}
	return windows, err
}

func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lines[len(lines)-1])
	}
	return nil
}

func show(sides []*side) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nTHE SAME WEEKLY WORK\tTOOK\tWITHOUT WINDOWS\tRATIO\tREQUESTS\tFAILED\tLOST\tDUPLICATED\tP99 ms\tENDED")
	hand := sides[0].took
	for _, s := range sides {
		ended := "done"
		if s.err != nil {
			ended = s.err.Error()
		}
		bare := s.took - s.windows
		fmt.Fprintf(t, "%s\t%s\t%s\t%.2f / %.2f\t%d\t%d\t%d\t%d\t%s\t%.160s\n", s.name, s.took.Round(100*time.Millisecond), bare.Round(100*time.Millisecond),
			s.took.Seconds()/hand.Seconds(), bare.Seconds()/hand.Seconds(), s.result.Requests, s.result.Failed, s.result.Lost, s.result.Duplicated,
			p99(s.result.P99DuringMS), ended)
	}
	_ = t.Flush()
}

func p99(ms *float64) string {
	if ms == nil {
		return "no data"
	}
	return fmt.Sprintf("%.0f", *ms)
}

func save(path string, sides []*side) error {
	type figures struct {
		Name           string  `json:"name"`
		Seconds        float64 `json:"seconds"`
		WindowsSeconds float64 `json:"windows_seconds"`
		Requests       int64   `json:"requests"`
		Failed         int64   `json:"failed"`
	}
	var all []figures
	for _, s := range sides {
		all = append(all, figures{s.name, s.took.Seconds(), s.windows.Seconds(), s.result.Requests, s.result.Failed})
	}
	raw, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}
