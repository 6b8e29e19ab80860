package flow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

// change is the write of these tests.
var change = runbook.Step[runbook.TagImageInput, runbook.Changed]{Name: "test.Change", Effect: runbook.Write}

// stage runs a body inside Conduct on the virtual clock, with the steps that
// Conduct itself needs.
type stage struct {
	env     *testsuite.TestWorkflowEnvironment
	notices []runbook.NoticeInput
	holder  runbook.Holder
	acts    []string
	fail    map[string]error
	// alertmanager is where the policy says that it answers.
	alertmanager string
}

// patience bounds what a workflow or a step does at a stretch, on a machine that may stand still for a while.
const patience = 5 * time.Minute

func newStage() *stage {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	s := &stage{env: suite.NewTestWorkflowEnvironment(), fail: map[string]error{}, alertmanager: "http://alerts"}
	s.env.SetTestTimeout(patience)
	s.env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: patience})
	s.env.RegisterWorkflowWithOptions(Lock, workflow.RegisterOptions{Name: LockName})
	runbook.LoadPolicy.Bind(s.env, func(context.Context, runbook.LoadPolicyInput) (runbook.LoadPolicyOutput, error) {
		return runbook.LoadPolicyOutput{Policy: runbook.Policy{Hash: "p", Rolling: runbook.RollingPolicy{LockWait: runbook.Duration(time.Minute)},
			Metrics: runbook.MetricsPolicy{Alertmanager: s.alertmanager}}}, s.fail["policy"]
	})
	runbook.SendNotice.Bind(s.env, func(_ context.Context, in runbook.NoticeInput) (runbook.NoticeOutput, error) {
		s.notices = append(s.notices, in)
		return runbook.NoticeOutput{}, nil
	})
	runbook.AwaitLock.Bind(s.env, func(context.Context, runbook.AwaitLockInput) (runbook.Holder, error) { return s.holder, nil })
	runbook.OpenSilence.Bind(s.env, func(context.Context, runbook.SilenceInput) (runbook.Silence, error) {
		s.acts = append(s.acts, "silence")
		return runbook.Silence{ID: "1"}, s.fail["silence"]
	})
	runbook.CloseSilence.Bind(s.env, func(context.Context, runbook.SilenceInput) (runbook.Changed, error) {
		s.acts = append(s.acts, "unsilence")
		return runbook.Changed{Changed: true}, nil
	})
	runbook.ReadLedgerHead.Bind(s.env, func(context.Context, runbook.LedgerInput) (runbook.LedgerHead, error) {
		return runbook.LedgerHead{Seq: 7, Hash: "head"}, s.fail["ledger"]
	})
	change.Bind(s.env, func(_ context.Context, in runbook.TagImageInput) (runbook.Changed, error) {
		s.acts = append(s.acts, in.Tag)
		return runbook.Changed{Changed: true}, s.fail[in.Tag]
	})
	return s
}

func (s *stage) run(t *testing.T, o runbook.Options, body func(workflow.Context, *Run) error) runbook.Report {
	t.Helper()
	s.env.ExecuteWorkflow(func(ctx workflow.Context) (runbook.Report, error) {
		return Conduct(ctx, Frame{Name: "Test", Options: o}, body)
	})
	require.True(t, s.env.IsWorkflowCompleted())
	var report runbook.Report
	var app *temporal.ApplicationError
	var stopped *temporal.CanceledError
	err := s.env.GetWorkflowError()
	switch {
	case err == nil:
		require.NoError(t, s.env.GetWorkflowResult(&report))
	case errors.As(err, &app):
		require.NoError(t, app.Details(&report))
	case errors.As(err, &stopped):
		require.NoError(t, stopped.Details(&report))
	}
	return report
}

func set(ctx workflow.Context, r *Run, what string) error {
	r.Undo.Add(what, "put "+what+" back", func(ctx workflow.Context) error {
		_, err := Reverting(ctx, r, change, what, runbook.TagImageInput{Tag: "no " + what})
		return err
	})
	_, err := Do(ctx, r, change, what, runbook.TagImageInput{Tag: what})
	return err
}

func TestUndoRunsInReverseOrderAndReverts(t *testing.T) {
	s := newStage()
	s.fail["c"] = runbook.Fail(runbook.Corrupt, "c is broken")
	report := s.run(t, runbook.Options{}, func(ctx workflow.Context, r *Run) error {
		for _, what := range []string{"a", "b", "c"} {
			if err := set(ctx, r, what); err != nil {
				return err
			}
		}
		return nil
	})
	require.Equal(t, []string{"a", "b", "c", "no c", "no b", "no a"}, s.acts)
	require.Equal(t, runbook.Reverted, report.Outcome)
	require.Equal(t, "c is broken", report.Reason)
	require.Len(t, s.notices, 1)
	require.Equal(t, runbook.StepUndone, report.Steps[1].Outcome)
}

func TestAFailedUndoIsNamedAndTheOthersRun(t *testing.T) {
	s := newStage()
	s.fail["b"] = runbook.Fail(runbook.Refused, "b is broken")
	s.fail["no b"] = runbook.Fail(runbook.Refused, "b cannot go back")
	report := s.run(t, runbook.Options{}, func(ctx workflow.Context, r *Run) error {
		if err := set(ctx, r, "a"); err != nil {
			return err
		}
		return set(ctx, r, "b")
	})
	require.Equal(t, []string{"a", "b", "no b", "no a"}, s.acts)
	require.Equal(t, runbook.Failed, report.Outcome)
	require.Contains(t, report.Reason, "b is broken; not wholly undone: put b back (b cannot go back)")
}

func TestNothingBegunIsRefusedOrFailed(t *testing.T) {
	s := newStage()
	s.fail["policy"] = runbook.Fail(runbook.Refused, "runbook.yaml:3: no such field")
	report := s.run(t, runbook.Options{}, func(workflow.Context, *Run) error { return nil })
	require.Equal(t, runbook.RefusedRun, report.Outcome)
	require.Equal(t, "runbook.yaml:3: no such field", report.Reason)
	require.Empty(t, s.notices)
}

func TestThePlanEndsTheRun(t *testing.T) {
	s := newStage()
	report := s.run(t, runbook.Options{Plan: true}, func(ctx workflow.Context, r *Run) error {
		if err := r.Decided(ctx, []runbook.Change{{Step: "x", Target: "y", What: "z"}}); err != nil {
			return err
		}
		return set(ctx, r, "a")
	})
	require.Equal(t, runbook.Planned, report.Outcome)
	require.Empty(t, s.acts)
	require.Len(t, report.Plan.Changes, 1)
}

func TestAnAbortUndoes(t *testing.T) {
	s := newStage()
	s.env.RegisterDelayedCallback(s.env.CancelWorkflow, time.Minute)
	report := s.run(t, runbook.Options{}, func(ctx workflow.Context, r *Run) error {
		if err := set(ctx, r, "a"); err != nil {
			return err
		}
		if err := workflow.Sleep(ctx, time.Hour); err != nil {
			return err
		}
		return set(ctx, r, "b")
	})
	require.Equal(t, []string{"a", "no a"}, s.acts)
	require.Equal(t, runbook.Aborted, report.Outcome)
}

func TestASilenceIsExtendedAndEnds(t *testing.T) {
	s := newStage()
	report := s.run(t, runbook.Options{}, func(ctx workflow.Context, r *Run) error {
		r.Silence(ctx, "service:hub", map[string]string{"service": "hub"})
		return workflow.Sleep(ctx, 35*time.Minute)
	})
	require.Equal(t, []string{"silence", "silence", "silence", "silence", "unsilence"}, s.acts)
	require.Equal(t, runbook.Succeeded, report.Outcome)
}

func TestARunGoesOnWithoutAlertmanager(t *testing.T) {
	s := newStage()
	s.fail["silence"] = runbook.Fail(runbook.Refused, "Alertmanager is away")
	report := s.run(t, runbook.Options{}, func(ctx workflow.Context, r *Run) error {
		r.Silence(ctx, "service:hub", map[string]string{"service": "hub"})
		return set(ctx, r, "a")
	})
	require.Equal(t, runbook.Succeeded, report.Outcome)
	require.Contains(t, fmt.Sprint(report.Findings), "alerts could not be silenced")
}

func TestAStackWithoutAlertmanagerHasNothingToSilence(t *testing.T) {
	s := newStage()
	s.alertmanager = ""
	report := s.run(t, runbook.Options{}, func(ctx workflow.Context, r *Run) error {
		r.Silence(ctx, "service:hub", map[string]string{"service": "hub"})
		return set(ctx, r, "a")
	})
	require.Equal(t, []string{"a"}, s.acts)
	require.Equal(t, runbook.Succeeded, report.Outcome)
	require.Empty(t, report.Findings)
}

func TestLocksAreTakenOnceAndReleased(t *testing.T) {
	s := newStage()
	var inside []runbook.Fence
	o := runbook.Options{Held: []runbook.Fence{{Resource: "proxy", Token: "parent's"}}}
	report := s.run(t, o, func(ctx workflow.Context, r *Run) error {
		if err := r.Take(ctx, "service:b", "proxy", Procedure("Test"), "service:a", "service:a"); err != nil {
			return err
		}
		inside = r.Held()
		require.Equal(t, "parent's", r.Fence("proxy").Token)
		require.NotEmpty(t, r.Fence("service:a").Token)
		require.Empty(t, r.Fence("service:c").Token)
		return nil
	})
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	var resources []string
	for _, f := range inside {
		resources = append(resources, f.Resource)
	}
	require.Equal(t, []string{"proxy", "procedure:Test", "service:a", "service:b"}, resources)
}

// TestAHeldProcedureIsRefusedAtOnce starts the lock from another workflow first.
func TestAHeldLockIsRefusedNamingItsHolder(t *testing.T) {
	for resource, want := range map[string]string{
		Procedure("Test"): "Test is at work already: weekly-maintenance",
		"service:hub":     "service:hub is held by weekly-maintenance",
	} {
		t.Run(resource, func(t *testing.T) {
			s := newStage()
			s.holder = runbook.Holder{WorkflowID: "weekly-maintenance", RunID: "r1", Since: time.Unix(0, 0)}
			report := s.run(t, runbook.Options{}, func(ctx workflow.Context, r *Run) error {
				other := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: LockID(resource)})
				if err := workflow.ExecuteChildWorkflow(other, LockName, resource).GetChildWorkflowExecution().Get(ctx, nil); err != nil {
					return err
				}
				return r.Take(ctx, resource)
			})
			require.Equal(t, runbook.RefusedRun, report.Outcome, report.Reason)
			require.Contains(t, report.Reason, want)
			require.Contains(t, report.Reason, "hive abort weekly-maintenance")
		})
	}
}

func TestTogetherStopsTheOthersAtTheFirstFailure(t *testing.T) {
	s := newStage()
	report := s.run(t, runbook.Options{}, func(ctx workflow.Context, r *Run) error {
		return Together(ctx, 2,
			func(ctx workflow.Context) error { return set(ctx, r, "a") },
			func(ctx workflow.Context) error {
				if err := workflow.Sleep(ctx, time.Second); err != nil {
					return err
				}
				return errors.New("second is broken")
			},
			func(ctx workflow.Context) error { return workflow.Sleep(ctx, time.Hour) },
			func(ctx workflow.Context) error { return set(ctx, r, "never") },
		)
	})
	require.Equal(t, "second is broken", report.Reason)
	require.Equal(t, []string{"a", "no a"}, s.acts)
	require.Less(t, report.Finished.Sub(report.Started), time.Minute)
}
