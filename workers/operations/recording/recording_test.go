package recording

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/activities/ledger"
	"github.com/leanvibe/hive/migrations/app/apptest"
	migrations "github.com/leanvibe/hive/migrations/ledger"
	"github.com/leanvibe/hive/workflows/runbook"
)

func TestMain(m *testing.M) { os.Exit(apptest.Run(m)) }

// canary must appear nowhere.
const canary = "hunter2-canary"

type turnInput struct {
	runbook.Fence
	Name     string `json:"name"`
	Password string `json:"password"`
}

func (in turnInput) Target() string { return in.Name }

type fencedInput struct{ runbook.Fence }

type procedureInput struct{ runbook.Options }

var (
	turn = runbook.Step[turnInput, runbook.Changed]{Name: "tests.Turn", Effect: runbook.Write, Attempts: 4}
	push = runbook.Step[fencedInput, runbook.Silence]{Name: "tests.Push", Effect: runbook.Irreversible}
	look = runbook.Step[turnInput, runbook.Changed]{Name: "tests.Look"}
)

func effects(step string) runbook.Effect {
	return map[string]runbook.Effect{turn.Name: turn.Effect, push.Name: push.Effect}[step]
}

// notes is a recorder that keeps what it is told.
type notes struct {
	mu      sync.Mutex
	begun   []ledger.Act
	ended   []ledger.Act
	results []ledger.Result
	refuse  error
	lose    error
}

func (n *notes) Begin(_ context.Context, a ledger.Act) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse != nil {
		return n.refuse
	}
	n.begun = append(n.begun, a)
	return nil
}

func (n *notes) End(_ context.Context, a ledger.Act, r ledger.Result) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended, n.results = append(n.ended, a), append(n.results, r)
	lose := n.lose
	n.lose = nil
	return lose
}

// patience bounds what a workflow or a step does at a stretch, on a machine that may stand still for a while.
const patience = 5 * time.Minute

func environment(r Recorder) *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(patience)
	env.SetWorkerOptions(worker.Options{
		DeadlockDetectionTimeout: patience,
		Interceptors:             []interceptor.WorkerInterceptor{New(Config{Recorder: r, Effect: effects, Worker: "opsworker@here"})},
	})
	look.Bind(env, func(context.Context, turnInput) (runbook.Changed, error) { return runbook.Changed{}, nil })
	push.Bind(env, func(context.Context, fencedInput) (runbook.Silence, error) { return runbook.Silence{}, nil })
	return env
}

// everything turns two things, one of them twice, looks and pushes.
func everything(ctx workflow.Context, _ procedureInput) error {
	for _, name := range []string{"hub-1", "hub-2", "hub-1"} {
		if _, err := turn.Run(ctx, turnInput{Fence: runbook.Fence{Resource: "service:hub", Token: "t"}, Name: name, Password: canary}); err != nil {
			return err
		}
	}
	if _, err := look.Run(ctx, turnInput{Name: "hub-1"}); err != nil {
		return err
	}
	_, err := push.Run(ctx, fencedInput{runbook.Fence{Resource: "proxy", Token: "t"}})
	return err
}

func always(context.Context, turnInput) (runbook.Changed, error) {
	return runbook.Changed{Changed: true}, nil
}

func TestAnActSaysForWhomItIsDone(t *testing.T) {
	var n notes
	env := environment(&n)
	turn.Bind(env, always)
	env.ExecuteWorkflow(everything, procedureInput{runbook.Options{RequestedBy: "ada", Trigger: "cli"}})
	require.NoError(t, env.GetWorkflowError())
	var got []string
	for i, a := range n.ended {
		require.Equal(t, n.begun[i], a)
		require.NotEmpty(t, a.Run)
		require.NotEmpty(t, a.Workflow)
		require.Equal(t, []string{"everything", "ada", "cli", "opsworker@here"}, []string{a.Procedure, a.RequestedBy, a.Trigger, a.Worker})
		got = append(got, fmt.Sprintf("%s %s #%d %s try %d", a.Step, a.Target, a.Nth, a.Effect, a.Attempt))
	}
	require.Equal(t, []string{
		"tests.Turn hub-1 #1 write try 1", "tests.Turn hub-2 #1 write try 1", "tests.Turn hub-1 #2 write try 1", "tests.Push proxy #1 irreversible try 1",
	}, got, "reads leave no row; the second time is another effect")
	require.True(t, *n.results[0].Changed)
	require.Nil(t, n.results[3].Changed, "a result that cannot tell")
	want, err := ledger.Digest(turnInput{Fence: runbook.Fence{Resource: "service:hub", Token: "t"}, Name: "hub-1", Password: canary})
	require.NoError(t, err)
	require.Equal(t, want, n.ended[0].Input)
}

func TestWithoutARecordNothingIsDone(t *testing.T) {
	n := notes{refuse: runbook.Fail(runbook.Unreachable, "no disk")}
	env := environment(&n)
	acts := 0
	turn.Bind(env, func(context.Context, turnInput) (runbook.Changed, error) { acts++; return runbook.Changed{}, nil })
	env.ExecuteWorkflow(everything, procedureInput{})
	require.Equal(t, runbook.Unreachable, runbook.KindOf(env.GetWorkflowError()))
	require.Zero(t, acts)
}

// An act whose end could not be put on record is done again, finds itself done, and
// that goes on record.
func TestAnEndThatWasLostIsRecordedByTheRetry(t *testing.T) {
	n := notes{lose: runbook.Fail(runbook.Unreachable, "no disk")}
	env := environment(&n)
	done := map[string]bool{}
	turn.Bind(env, func(_ context.Context, in turnInput) (runbook.Changed, error) {
		changed := !done[in.Name]
		done[in.Name] = true
		return runbook.Changed{Changed: changed}, nil
	})
	env.ExecuteWorkflow(func(ctx workflow.Context, _ procedureInput) error {
		_, err := turn.Run(ctx, turnInput{Name: "hub-1"})
		return err
	}, procedureInput{})
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, n.ended, 2)
	require.Equal(t, []int32{1, 2}, []int32{n.ended[0].Attempt, n.ended[1].Attempt})
	require.Equal(t, []int32{1, 1}, []int32{n.ended[0].Nth, n.ended[1].Nth}, "the same effect")
	require.False(t, *n.results[1].Changed)
}

func TestFailuresAndPanicsAreEnds(t *testing.T) {
	var n notes
	env := environment(&n)
	tries := 0
	turn.Bind(env, func(context.Context, turnInput) (runbook.Changed, error) {
		tries++
		switch tries {
		case 1:
			return runbook.Changed{}, runbook.Fail(runbook.Busy, "locked")
		case 2:
			panic("as asked")
		default:
			return runbook.Changed{Changed: true}, nil
		}
	})
	env.ExecuteWorkflow(func(ctx workflow.Context, _ procedureInput) error {
		_, err := turn.Run(ctx, turnInput{Name: "hub-1"})
		return err
	}, procedureInput{})
	require.Len(t, n.ended, len(n.begun))
	require.Equal(t, runbook.Busy, runbook.KindOf(n.results[0].Err))
	require.ErrorIs(t, n.results[1].Err, errPanicked)
	require.GreaterOrEqual(t, tries, 2)
}

// TestNoSecretIsLeft runs a procedure whose input holds a password, with the real
// ledger, with its database and without, and looks for it in all that is left.
func TestNoSecretIsLeft(t *testing.T) {
	for _, away := range []bool{false, true} {
		t.Run(fmt.Sprintf("away=%v", away), func(t *testing.T) {
			c, owner := project(t)
			if away {
				c.Address = "127.0.0.1:1"
			}
			book, err := ledger.Open(c)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- book.Run(ctx) }()
			if !away {
				require.Eventually(t, func() bool { return book.Away() == nil }, patience, 5*time.Millisecond)
			}
			registry := prometheus.NewRegistry()
			env := environment(Measure(registry, book))
			tries := 0
			turn.Bind(env, func(_ context.Context, in turnInput) (runbook.Changed, error) {
				if tries++; tries == 1 {
					return runbook.Changed{}, errors.New("refused the password " + in.Password)
				}
				return runbook.Changed{Changed: true}, nil
			})
			env.ExecuteWorkflow(everything, procedureInput{})
			require.NoError(t, env.GetWorkflowError())
			cancel()
			require.NoError(t, <-ended)
			if away {
				require.Equal(t, 10, book.Head().Spooled)
			} else {
				require.Equal(t, int64(10), book.Head().Seq)
				rows, err := ledger.Show(t.Context(), c, ledger.Query{})
				require.NoError(t, err)
				text, err := json.Marshal(rows)
				require.NoError(t, err)
				require.Contains(t, string(text), "hub-2")
				require.NotContains(t, string(text), canary)
				require.NotContains(t, dump(t, owner), canary)
				verdict, err := ledger.Verify(t.Context(), c)
				require.NoError(t, err)
				require.True(t, verdict.Sound(), verdict.Findings)
			}
			seen := 0
			require.NoError(t, filepath.WalkDir(filepath.Join(c.ProjectDir, ledger.StateDir), func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				raw, err := os.ReadFile(path)
				require.NoError(t, err)
				require.NotContains(t, string(raw), canary, path)
				seen += len(raw)
				return nil
			}))
			require.Positive(t, seen)
			families, err := registry.Gather()
			require.NoError(t, err)
			require.Len(t, families, 3)
			for _, f := range families {
				if f.GetName() == "hive_ledger_append_seconds" {
					require.Equal(t, uint64(10), f.GetMetric()[0].GetHistogram().GetSampleCount())
				}
			}
		})
	}
}

func project(t *testing.T) (c ledger.Config, owner string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "secrets"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ledger.KeyFile), []byte(strings.Repeat("k", 48)), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ledger.PasswordFile), []byte("p"), 0o600))
	owner = apptest.Database(t)
	require.NoError(t, migrations.Up(t.Context(), owner))
	cfg, err := pgx.ParseConfig(owner)
	require.NoError(t, err)
	return ledger.Config{ProjectDir: dir, Address: fmt.Sprintf("%s:%d/%s", cfg.Host, cfg.Port, cfg.Database)}, owner
}

// dump is the whole of the table, as text.
func dump(t *testing.T, owner string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), owner)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	var text string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT string_agg(r::text, E'\n') FROM ledger.rows r`).Scan(&text))
	return text
}
