// Command faults is `make faults`: it puts bad images of universal-orchestrator into the registry, one after the other,
// and has RollingRestart meet each of them under live load. Every one must revert by itself, and the loader's ledger
// says what users lost. After each roll the real Compose CLI is told `up -d`, and must find nothing to do. At the end the
// registry names the good image again. The stack must be up (hive up).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/tests/composecli"
	"github.com/leanvibe/hive/tests/load"
	"github.com/leanvibe/hive/workers/operations/follow"
	"github.com/leanvibe/hive/workflows/maintenance"
	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	service = "universal-orchestrator"
	image   = "127.0.0.1:5000/leanvibe/" + service + ":2.0"
)

// fault is one bad image and how the roll must end.
type fault struct {
	name string
	// entry is what the image starts, by /bin/sh -c; empty is the image that runs, rolled by force.
	entry string
	want  runbook.Outcome
	// lost says whether users may lose requests to it: only where it answers them itself, with 5xx.
	lost bool
}

var faults = []fault{
	{name: "exits at once", entry: "exit 1", want: runbook.Reverted},
	{name: "never healthy", entry: "exec sleep 3600", want: runbook.Reverted},
	{name: "dies after 20 s", entry: "/usr/local/bin/service & sleep 20; kill -9 $!", want: runbook.Reverted},
	{name: "10 % 5xx", entry: "exec /usr/local/bin/tenth", want: runbook.Reverted, lost: true},
	{name: "out of memory", entry: "/usr/local/bin/service & sleep 15; tail /dev/zero", want: runbook.Reverted},
	{name: "ignores SIGTERM", entry: "trap '' TERM; /usr/local/bin/service & while :; do wait; done", want: runbook.Succeeded},
	{name: "good again", entry: "exec /usr/local/bin/service", want: runbook.Succeeded},
	{name: "the same, forced", want: runbook.Succeeded},
}

// row is what became of one fault.
type row struct {
	fault    fault
	outcome  runbook.Outcome
	reason   string
	requests int64
	failed   int64
	took     time.Duration
	// moved is what the Compose CLI changed after the roll.
	moved    []string
	examples []load.Fault
	findings []string
}

func main() {
	only := flag.String("only", "", "run the faults whose name contains this")
	rate := flag.Int("rate", 500, "requests a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rows, err := meet(ctx, *only, *rate)
	bad := show(rows)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
	}
	if err != nil || bad {
		os.Exit(1)
	}
}

func meet(ctx context.Context, only string, rate int) ([]row, error) {
	c, err := client.DialContext(ctx, client.Options{HostPort: "127.0.0.1:7233", Namespace: "ops", Logger: quiet{}})
	if err != nil {
		return nil, fmt.Errorf("Temporal: %w; bring the stack up with hive up", err)
	}
	defer c.Close()
	good, err := imageID(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "hive-faults-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fmt.Println("== building the Compose CLI and a bad service")
	if _, err := output(ctx, "go", "build", "-o", filepath.Join(dir, "tenth"), "./tests/faults/tenth"); err != nil {
		return nil, err
	}
	compose, err := composecli.Build(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { // the registry names the good image again, whatever happened; the next roll finds it
		_ = publish(context.WithoutCancel(ctx), good)
	}()
	var rows []row
	for _, f := range faults {
		if !strings.Contains(f.name, only) {
			continue
		}
		fmt.Printf("== %s\n", f.name)
		r, err := one(ctx, c, compose, dir, good, f, rate)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", f.name, err)
		}
		rows = append(rows, r)
		fmt.Printf("   %s in %s: %s\n", r.outcome, r.took.Round(time.Second), r.reason)
	}
	return rows, nil
}

// one makes the image, rolls to it under load, and looks at both ends.
func one(ctx context.Context, c client.Client, compose composecli.CLI, dir, good string, f fault, rate int) (row, error) {
	if err := release(ctx, dir, good, f.entry); err != nil {
		return row{}, err
	}
	loader, err := load.Start(context.WithoutCancel(ctx), load.Config{Rate: rate})
	if err != nil {
		return row{}, err
	}
	loader.Mark(load.During)
	begun := time.Now()
	run, err := maintenance.RollingRestart.Start(ctx, c, maintenance.RollingRestartInput{Services: []string{service}, Force: f.entry == ""})
	if err != nil {
		return row{}, err
	}
	report, err := follow.Await(ctx, run)
	took := time.Since(begun)
	loader.Mark(load.After)
	result, stopped := loader.Stop(context.WithoutCancel(ctx))
	if err := errors.Join(err, stopped); err != nil {
		return row{}, err
	}
	r := row{fault: f, outcome: report.Outcome, reason: report.Reason, requests: result.Requests, failed: result.Failed, took: took, examples: result.Faults}
	if r.moved, err = upAgain(ctx, compose); err != nil {
		return row{}, err
	}
	for _, found := range report.Findings {
		if found.Severity == runbook.Warning || found.Severity == runbook.Critical {
			r.findings = append(r.findings, found.Target+": "+found.What)
		}
	}
	return r, nil
}

// release publishes an image that starts entry.
func release(ctx context.Context, dir, good, entry string) error {
	if entry == "" {
		return nil
	}
	id, err := build(ctx, dir, good, entry)
	if err != nil {
		return err
	}
	return publish(ctx, id)
}

// publish has the registry name an image, and this machine's tag what it named before: what runs.
func publish(ctx context.Context, id string) error {
	named, err := imageID(ctx)
	if err != nil {
		return err
	}
	if err := push(ctx, id); err != nil {
		return err
	}
	_, err = output(ctx, "docker", "tag", named, image)
	return err
}

// imageID is what the service's tag names on this machine.
func imageID(ctx context.Context) (string, error) {
	return output(ctx, "docker", "image", "inspect", "--format", "{{.Id}}", image)
}

func build(ctx context.Context, dir, good, entry string) (string, error) {
	file := fmt.Sprintf("FROM %s\nCOPY tenth /usr/local/bin/tenth\nENTRYPOINT [\"/bin/sh\", \"-c\", %q]\n", good, entry)
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(file), 0o600); err != nil {
		return "", err
	}
	return output(ctx, "docker", "build", "-q", dir)
}

// push puts an image into the registry under the tag that the compose file names.
func push(ctx context.Context, id string) error {
	if _, err := output(ctx, "docker", "tag", id, image); err != nil {
		return err
	}
	_, err := output(ctx, "docker", "push", "-q", image)
	return err
}

// show prints the table and says whether a fault did not end as it must.
func show(rows []row) (bad bool) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nIMAGE\tOUTCOME\tTOOK\tREQUESTS\tFAILED\tVERDICT\tCOMPOSE\tWHY")
	for _, r := range rows {
		verdict := "as it must"
		if r.outcome != r.fault.want || r.failed > 0 && !r.fault.lost || len(r.moved) > 0 {
			verdict, bad = "NOT as it must: "+string(r.fault.want), true
		}
		compose := "does nothing"
		if len(r.moved) > 0 {
			compose = strings.Join(r.moved, ", ")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%.120s\n", r.fault.name, r.outcome, r.took.Round(time.Second), r.requests, r.failed, verdict, compose, r.reason)
	}
	_ = t.Flush()
	const most = 5
	for _, r := range rows {
		for _, f := range r.examples[:min(most, len(r.examples))] {
			fmt.Printf("%s: lost: %+v\n", r.fault.name, f)
		}
		for _, f := range r.findings {
			fmt.Printf("%s: %s\n", r.fault.name, f)
		}
	}
	return bad
}
