// Package whole kills at seeded random moments of WeeklyMaintenance, on the whole stack and under load: opsworker,
// Temporal and the ledger's database, several times a run. Every run must end as the runs without kills did.
//
//	whole.go    the runs      killer.go   who dies when
//	look.go     what stands   effects.go  what was done, by the engine's events
package whole

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	dockerclient "github.com/docker/docker/client"
	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/tests/chaos/matrix"
	"github.com/leanvibe/hive/tests/load"
	"github.com/leanvibe/hive/workers/operations/follow"
	"github.com/leanvibe/hive/workflows/maintenance"
	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	temporalAddress = "127.0.0.1:7233"
	// runMax is far above a run with all its kills; one that takes longer is stuck.
	runMax = 20 * time.Minute
	// stopMax bounds the loader's reconciliation: every task is looked up.
	stopMax = 5 * time.Minute
)

// Config is what the command line says.
type Config struct {
	// Root is the project, whose stack is up; Dir is its out/chaos.
	Root, Dir string
	// Runs and Kills are how many of each to make; the kills are spread over the runs.
	Runs, Kills int
	Seed        uint64
	// Until ends the runs: none is begun later. Zero is no end.
	Until time.Time
	// Rate is the load in requests a second.
	Rate   int
	Commit string
	Out    io.Writer
}

// whole is one call of Run.
type whole struct {
	Config
	api      *dockerclient.Client
	docker   docker.Hand
	policy   runbook.Policy
	stack    runbook.Stack
	temporal client.Client
}

// seen is what one run left: its evidence under out/chaos/whole.
type seen struct {
	Outcome  string         `json:"outcome"`
	Reason   string         `json:"reason,omitempty"`
	Start    []string       `json:"start"`
	Census   []string       `json:"census"`
	Effects  map[string]int `json:"effects"`
	Requests int64          `json:"requests"`
	// Failed counts requests that failed, were lost or were answered wrongly; Doubled those that were done twice.
	Failed  int64         `json:"failed"`
	Doubled int64         `json:"doubled"`
	Load    string        `json:"load,omitempty"`
	Kills   []Kill        `json:"kills"`
	Took    time.Duration `json:"took"`
}

// Run makes the runs and answers a row for each kill. The first two are made without kills, to compare with: the
// replicas' numbers alternate from run to run.
func Run(ctx context.Context, config Config) (rows []matrix.Row, err error) {
	w := &whole{Config: config}
	if err := w.open(ctx); err != nil {
		return nil, err
	}
	defer w.close()
	references := map[string]seen{}
	random := rand.New(rand.NewPCG(config.Seed, 2))
	var troubles []error
	for n, left := 0, config.Kills; n < config.Runs+2; n++ {
		if ctx.Err() != nil || !config.Until.IsZero() && time.Now().After(config.Until) {
			fmt.Fprintf(config.Out, "%d runs of the whole stack are left for another time\n", config.Runs+2-n)
			break
		}
		kills := 0
		if n >= 2 {
			kills = left / (config.Runs + 2 - n)
		}
		s, err := w.run(ctx, rand.New(rand.NewPCG(random.Uint64(), random.Uint64())), kills)
		if err != nil {
			return rows, err
		}
		name := fmt.Sprintf("whole-%02d", n)
		if err := save(filepath.Join(config.Dir, "whole", name+".json"), s); err != nil {
			return rows, err
		}
		left -= len(s.Kills)
		start := strings.Join(s.Start, "\n")
		if n < 2 {
			references[start] = s
			fmt.Fprintf(config.Out, "%s without a kill: %s in %s, %d requests, %d failed %s %s\n", name, s.Outcome, s.Took, s.Requests, s.Failed, s.Reason, s.Load)
			continue
		}
		reference, known := references[start]
		if !known {
			troubles = append(troubles, fmt.Errorf("%s began otherwise than the runs without kills did, so it cannot be compared: %s", name, start))
		}
		differs := differences(s, reference)
		twice := twice(s.Effects, reference.Effects)
		fmt.Fprintf(config.Out, "%s: %d kills: %s in %s, %d requests, %d failed, done twice %v, census differs by %v %s %s\n",
			name, len(s.Kills), s.Outcome, s.Took, s.Requests, s.Failed, twice, differs, s.Reason, s.Load)
		for i, k := range s.Kills {
			rows = append(rows, matrix.Row{
				Procedure: maintenance.WeeklyMaintenance.Name, Step: k.Phase, Point: matrix.Random, Victim: k.Victim, Outcome: s.Outcome, CensusEqual: len(differs) == 0,
				FailedRequests: int(s.Failed), DuplicateEffects: len(twice) + int(s.Doubled), Commit: config.Commit, Expected: reference.Outcome,
				Seed: config.Seed, Run: fmt.Sprintf("%s#%d", name, i+1),
			})
		}
	}
	return rows, errors.Join(troubles...)
}

func (w *whole) open(ctx context.Context) (err error) {
	if w.api, err = docker.Open(); err != nil {
		return err
	}
	w.docker = docker.Hand{API: w.api, ProjectDir: w.Root}
	known, err := policy.Hand{ProjectDir: w.Root, Hash: docker.Hash, Untranslated: docker.Untranslated}.Load(ctx, runbook.LoadPolicyInput{Run: "chaos"})
	if err != nil {
		return err
	}
	w.policy, w.stack = known.Policy, known.Stack
	w.temporal, err = client.NewLazyClient(client.Options{HostPort: temporalAddress, Namespace: "ops", Logger: quiet(), Identity: "chaos kit"})
	return err
}

func (w *whole) close() {
	w.temporal.Close()
	_ = w.api.Close()
}

// run is one WeeklyMaintenance on newer images, under load, with kills while it goes on.
func (w *whole) run(ctx context.Context, random *rand.Rand, kills int) (s seen, err error) {
	if err := w.newer(ctx); err != nil {
		return s, err
	}
	if err := w.ready(ctx); err != nil {
		return s, err
	}
	if s.Start, err = w.numbers(ctx); err != nil {
		return s, err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	effects := watch(watching, w.api, w.stack.Project)
	loader, err := load.Start(context.WithoutCancel(ctx), load.Config{Rate: w.Rate})
	if err != nil {
		return s, err
	}
	began := time.Now()
	run, err := maintenance.WeeklyMaintenance.Start(ctx, w.temporal, maintenance.WeeklyMaintenanceInput{})
	if err == nil {
		s.Kills = w.killWhile(ctx, random, kills, run)
		s.Outcome, s.Reason = w.await(ctx, run)
		s.Took = time.Since(began).Round(time.Second)
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopMax)
	defer cancel()
	result, failed := loader.Stop(stopping)
	if err = errors.Join(err, failed); err != nil {
		return s, err
	}
	s.Requests, s.Failed, s.Doubled = result.Requests, result.Failed+result.Lost+result.WrongVersion, result.Duplicated
	if bad := result.Err(); bad != nil {
		s.Load = bad.Error()
	}
	if s.Census, err = w.census(ctx); err != nil {
		return s, err
	}
	s.Effects = effects()
	return s, ctx.Err()
}

// newer pushes newer images of the applications, for the run to find.
func (w *whole) newer(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, filepath.Join(w.Root, "out", "bin", "hive"), "up", "--newer", "--project", w.Root)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("hive up --newer: %w: %s", err, out[max(0, len(out)-500):])
	}
	return nil
}

// await waits for the run's end also while the server dies.
func (w *whole) await(ctx context.Context, run client.WorkflowRun) (outcome, reason string) {
	ctx, cancel := context.WithTimeout(ctx, runMax)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		report, err := follow.Await(ctx, run)
		if err == nil {
			return string(report.Outcome), report.Reason
		}
		select {
		case <-ctx.Done():
			return "stuck", err.Error()
		case <-tick.C:
		}
	}
}

// differences are what stood at the end of one run alone.
func differences(s, reference seen) []string {
	var out []string
	for _, line := range s.Census {
		if !slices.Contains(reference.Census, line) {
			out = append(out, "extra "+line)
		}
	}
	for _, line := range reference.Census {
		if !slices.Contains(s.Census, line) {
			out = append(out, "missing "+line)
		}
	}
	return out
}

// save writes evidence.
func save(path string, value any) error {
	raw, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}
