package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"github.com/leanvibe/hive/tests/load"
	"github.com/leanvibe/hive/workers/operations/follow"
	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	temporalAddress = "127.0.0.1:7233"
	temporalLink    = "http://127.0.0.1:8233/namespaces/ops/workflows/"
	weekly          = "weekly maintenance"
	// reconcileLimit bounds what follows the last request: settling, and looking up every task.
	reconcileLimit = 5 * time.Minute
)

// drive is one `make run`.
type drive struct {
	dir           string
	rate          int
	before, after time.Duration
	phases        phases

	begun  time.Time
	loader *load.Loader
	report runbook.Report
	result *load.Result
}

func (d *drive) run(ctx context.Context) error {
	var err error
	if d.dir, err = filepath.Abs(d.dir); err != nil {
		return err
	}
	d.begun = time.Now().Truncate(time.Second)
	for _, p := range []struct {
		name string
		work func(context.Context) error
	}{
		{"bring everything up", d.up},
		{"a newer image of every application", d.newer},
		{"load on the untouched stack", d.loadOn},
		{weekly, d.maintain},
		{"load on the renewed stack", func(ctx context.Context) error { return d.wait(ctx, d.after) }},
	} {
		if err = d.phases.do(ctx, p.name, p.work); err != nil {
			break
		}
	}
	if d.loader == nil {
		return err
	}
	// The ledger is closed and shown whatever became of the procedure: what users saw is the point.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), reconcileLimit)
	defer cancel()
	err = errors.Join(err, d.phases.do(closing, "reconcile both ledgers", d.reconcile))
	d.phases.split(weekly, "of it in monitor windows", windows(d.report.Steps))
	d.tell()
	return err
}

// up is `hive up`, as an operator would call it.
func (d *drive) up(ctx context.Context) error {
	return d.hive(ctx, "up")
}

// newer pushes a newer image of each application to the registry, for the run to find.
func (d *drive) newer(ctx context.Context) error {
	return d.hive(ctx, "up", "--newer")
}

func (d *drive) hive(ctx context.Context, args ...string) error {
	c := exec.CommandContext(ctx, filepath.Join(d.dir, "out", "bin", "hive"), append(args, "--project", d.dir)...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	// Interrupting is asking: hive ends what it is in, and says what it left.
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = time.Minute
	if err := c.Run(); err != nil {
		return fmt.Errorf("hive %s: %w", args[0], err)
	}
	return nil
}

func (d *drive) loadOn(ctx context.Context) error {
	var err error
	d.loader, err = load.Start(context.WithoutCancel(ctx), load.Config{
		Rate: d.rate,
		Progress: func(s load.Snapshot) {
			if int(s.Elapsed.Seconds())%10 == 0 {
				fmt.Printf("   load: %d requests, %d failed, p99 %.1f ms in the last second\n", s.Requests, s.Failed, s.P99MS)
			}
		},
	})
	if err != nil {
		return err
	}
	return d.wait(ctx, d.before)
}

func (d *drive) wait(ctx context.Context, long time.Duration) error {
	select {
	case <-ctx.Done():
		return errors.New("interrupted")
	case <-time.After(long):
		return nil
	}
}

// maintain runs WeeklyMaintenance with {}, as the schedule and the Temporal UI do, and shows its steps.
func (d *drive) maintain(ctx context.Context) error {
	c, err := client.DialContext(ctx, client.Options{HostPort: temporalAddress, Namespace: "ops", Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	if err != nil {
		return fmt.Errorf("Temporal at %s: %w", temporalAddress, err)
	}
	defer c.Close()
	d.loader.Mark(load.During)
	run, err := start(ctx, c)
	if err != nil {
		return err
	}
	fmt.Printf("   %s%s\n", temporalLink, run.GetID())
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go show(watching, c, run)
	d.report, err = follow.Await(ctx, run)
	d.loader.Mark(load.After)
	switch {
	case err != nil:
		return fmt.Errorf("the run's end could not be learned (it may go on: %s%s): %w", temporalLink, run.GetID(), err)
	case d.report.Outcome != runbook.Succeeded:
		return fmt.Errorf("ended %s: %s", d.report.Outcome, d.report.Reason)
	}
	return nil
}

// show prints each step once it has ended.
func show(ctx context.Context, c client.Client, run client.WorkflowRun) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	shown := map[int]bool{}
	for {
		if p, err := follow.Ask(ctx, c, run.GetID(), run.GetRunID()); err == nil {
			for i, s := range p.Steps {
				if s.Outcome != runbook.StepRunning && !shown[i] {
					shown[i] = true
					fmt.Printf("   %-8s %-30s %-28s %6s  %s\n", s.Outcome, s.Name, s.Target, s.Finished.Sub(s.Started).Round(100*time.Millisecond), s.Note)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// reconcile ends the load and writes the evidence: load.json, and the loader's side of report.json.
func (d *drive) reconcile(ctx context.Context) error {
	var err error
	if d.result, err = d.loader.Stop(ctx); err != nil {
		return err
	}
	dir := filepath.Join(d.dir, "out", "weekly-maintenance")
	if err := d.result.Save(filepath.Join(dir, "load.json")); err != nil {
		return err
	}
	failed := d.result.Err()
	if d.report.Outcome != "" {
		merged, err := merge(filepath.Join(dir, "report.json"), d.begun, d.result)
		failed = errors.Join(failed, err)
		if err == nil {
			d.report = merged
		}
	}
	return failed
}

// tell prints the results and what to open.
func (d *drive) tell() {
	if d.result != nil {
		fmt.Println()
		d.result.Print(os.Stdout)
	}
	fmt.Printf(`
%s: %s

open:
  the run, step by step   %sweekly-maintenance
  its report              out/weekly-maintenance/report.html (and report.json, load.json)
  Prometheus              http://127.0.0.1:9090
  Alertmanager            http://127.0.0.1:9093
everything keeps running; out/bin/hive status shows it, make down removes it
`, orUnknown(d.report.Procedure), orUnknown(string(d.report.Outcome)), temporalLink)
}

func orUnknown(s string) string {
	if s == "" {
		return "no report"
	}
	return s
}
