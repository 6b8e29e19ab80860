package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/workflows/runbook"
)

// execute runs the CLI as main does and returns its exit code and what it printed.
func execute(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	err := func() error {
		root := newRoot(&out, &errs)
		root.SetArgs(args)
		return root.ExecuteContext(context.Background())
	}()
	return exitCode(err), out.String(), errs.String() + message(err)
}

func TestHiveRefusesWrongUsageWithAWayOut(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"unknown verb", []string{"statsu"}, `did you mean "stats"`},
		{"unknown flag", []string{"status", "--colour"}, "unknown flag: --colour; see: hive status --help"},
		{"no procedure", []string{"run"}, "see: hive run --help"},
		{"unknown procedure", []string{"run", "WeeklyMaintenence"}, `no procedure "WeeklyMaintenence"`},
		{"wrong output", []string{"status", "--output", "yaml"}, "want table or json"},
		{"no project", []string{"status", "--project", "/nowhere"}, "name the project's root with --project"},
		{"abort nothing", []string{"abort"}, "see: hive abort --help"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, errs := execute(t, c.args...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, errs, c.want)
		})
	}
}

func TestHiveSaysWhoIsAway(t *testing.T) {
	t.Run("temporal", func(t *testing.T) {
		code, _, errs := execute(t, "abort", "weekly-maintenance", "--temporal", "127.0.0.1:1")
		require.Equal(t, exitUnreachable, code)
		require.Contains(t, errs, "Temporal does not answer at 127.0.0.1:1")
		require.Contains(t, errs, "hive up")
	})
	t.Run("engine", func(t *testing.T) {
		t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
		code, _, errs := execute(t, "logs", "nginx")
		require.Equal(t, exitUnreachable, code)
		require.Contains(t, errs, "no container engine answers at unix:///nowhere/docker.sock")
	})
}

func TestHelpTeaches(t *testing.T) {
	code, out, _ := execute(t, "--help")
	require.Equal(t, exitOK, code)
	for _, want := range []string{"Exit codes:", "hive plan WeeklyMaintenance", "Temporal UI", "completion"} {
		require.Contains(t, out, want)
	}
	for _, verb := range newRoot(&bytes.Buffer{}, &bytes.Buffer{}).Commands() {
		require.NotEmpty(t, verb.Short, verb.Name())
		if verb.Name() != "version" && verb.Name() != "help" && verb.Name() != "completion" {
			require.NotEmpty(t, verb.Example, verb.Name())
		}
	}
}

func TestInput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "input.json")
	require.NoError(t, os.WriteFile(file, []byte("{\n \"services\": [\n}"), 0o600))
	for _, c := range []struct {
		name, argument, stdin, want, refused string
	}{
		{name: "nothing", want: `{}`},
		{name: "object", argument: `{"force":true}`, want: `{"force":true}`},
		{name: "big number kept", argument: `{"n":12345678901234567890}`, want: `{"n":12345678901234567890}`},
		{name: "standard input", argument: "@-", stdin: `{"a":1}`, want: `{"a":1}`},
		{name: "list", argument: `[]`, refused: "--input is not a JSON object"},
		{name: "two objects", argument: `{} {}`, refused: "more than one"},
		{name: "no such file", argument: "@/nowhere.json", refused: "/nowhere.json"},
		{name: "broken file", argument: "@" + file, refused: "line 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fields, err := readInput(c.argument, strings.NewReader(c.stdin))
			if c.refused != "" {
				require.ErrorContains(t, err, c.refused)
				require.Equal(t, exitUsage, exitCode(err))
				return
			}
			require.NoError(t, err)
			raw, err := json.Marshal(fields)
			require.NoError(t, err)
			require.JSONEq(t, c.want, string(raw))
		})
	}
}

// sampleInput is a procedure's input as chapters write them.
type sampleInput struct {
	runbook.Options
	Services []string `json:"services,omitempty"`
}

func (s sampleInput) Validate() error {
	if len(s.Services) > 1 {
		return errors.New("services: want one")
	}
	return nil
}

func TestStartIsStrict(t *testing.T) {
	p := of(runbook.Procedure[sampleInput, runbook.Report]{
		Name: "Sample", ID: func(sampleInput) string { return "sample" }, Example: `{"services":["a"]}`,
	})
	for _, input := range []string{`{"servces":["a"]}`, `{"services":"a"}`, `{"services":["a","b"]}`} {
		_, _, err := p.start(context.Background(), nil, json.RawMessage(input))
		require.Equal(t, exitUsage, exitCode(err), input)
		require.ErrorContains(t, err, `an input that acts: {"services":["a"]}`)
	}
}

func TestBeginCarriesWhoAskedAndRefusesASecondRun(t *testing.T) {
	var sent json.RawMessage
	p := procedure{name: "Sample", start: func(_ context.Context, _ client.Client, input json.RawMessage) (client.WorkflowRun, string, error) {
		sent = input
		return nil, "sample", alreadyStartedForTest()
	}}
	_, err := begin(context.Background(), nil, p, map[string]any{"services": []string{"a"}}, true)
	require.Equal(t, exitRefused, exitCode(err))
	require.ErrorContains(t, err, "hive abort sample")
	require.ErrorContains(t, err, uiBase+"/sample")
	var in sampleInput
	require.NoError(t, json.Unmarshal(sent, &in))
	require.True(t, in.Plan)
	require.Equal(t, "cli", in.Trigger)
	require.NotEmpty(t, in.RequestedBy)
	require.Equal(t, []string{"a"}, in.Services)
}

func TestEveryOutcomeHasItsCode(t *testing.T) {
	for outcome, want := range map[runbook.Outcome]int{
		runbook.Succeeded: 0, runbook.Planned: 0, runbook.Failed: 1, runbook.Reverted: 3, runbook.RefusedRun: 4, runbook.Aborted: 5,
		"": 1, "something new": 1,
	} {
		require.Equal(t, want, exitCode(ended(outcome)), outcome)
		require.Empty(t, message(ended(outcome)), "the report has been printed already")
	}
	require.Equal(t, exitInterrupted, exitCode(context.Canceled))
}

func TestProgressInAPipeIsOneLineAChange(t *testing.T) {
	var out bytes.Buffer
	shown := &lines{out: &out, seen: map[int]runbook.StepOutcome{}}
	step := runbook.StepReport{Name: "containers.CreateReplica", Target: "hub", Outcome: runbook.StepRunning, Started: time.Now()}
	shown.show(runbook.Progress{Phase: "rolling", Steps: []runbook.StepReport{step}})
	shown.show(runbook.Progress{Phase: "rolling", Steps: []runbook.StepReport{step}})
	step.Outcome, step.Finished = runbook.StepDone, time.Now()
	shown.show(runbook.Progress{Phase: "rolling", Steps: []runbook.StepReport{step}})
	require.Equal(t, 3, strings.Count(out.String(), "\n"), out.String())
	require.NotContains(t, out.String(), "\x1b", "no cursor movement in a pipe")
}

func TestProgressOnAScreenReplacesItself(t *testing.T) {
	var out bytes.Buffer
	shown := &screen{out: &out, width: 40}
	steps := make([]runbook.StepReport, tailSteps+3)
	for i := range steps {
		steps[i] = runbook.StepReport{Name: "containers.CreateReplica", Target: strings.Repeat("x", 60), Outcome: runbook.StepDone}
	}
	shown.show(runbook.Progress{Procedure: "Sample", Steps: steps})
	for _, row := range strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n") {
		require.Less(t, len([]rune(row)), 40)
	}
	out.Reset()
	shown.done()
	require.Equal(t, "\x1b[14A\x1b[J", out.String(), "head, one row for the earlier steps, and the last twelve")
}

func TestPrintReport(t *testing.T) {
	var out bytes.Buffer
	gap := 12.5
	begun := time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
	printReport(&out, runbook.Report{
		Procedure: "WeeklyMaintenance", Outcome: runbook.Reverted, Reason: "hub-3 exited with 1", Started: begun, Finished: begun.Add(90 * time.Second),
		Steps:   []runbook.StepReport{{Name: "containers.CreateReplica", Target: "hub", Outcome: runbook.StepUndone, Changed: true, Started: begun, Finished: begun.Add(time.Second)}},
		Traffic: []runbook.Traffic{{Source: "nginx", Requests: 45000, LongestGapMS: &gap}},
	})
	for _, want := range []string{"containers.CreateReplica", "undone", "45000", "not known", "12.5", "no data", "WeeklyMaintenance: reverted in 1m30s: hub-3 exited with 1"} {
		require.Contains(t, out.String(), want)
	}
}

func alreadyStartedForTest() error {
	return serviceerror.NewWorkflowExecutionAlreadyStarted("sample", "", "")
}
