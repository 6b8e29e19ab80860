package schedule

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

var weekly = runbook.SchedulePolicy{
	ID: "weekly-maintenance", Procedure: "WeeklyMaintenance", Every: "sunday", At: "02:00", Timezone: "America/Los_Angeles",
	CatchUp: runbook.Duration(time.Hour), Input: `{"plan":true}`,
}

// world is a test environment that fires a schedule: the procedure that it starts
// and the notices that it sends.
type world struct {
	*testsuite.TestWorkflowEnvironment
	begun   []workflow.Execution
	inputs  []map[string]any
	notices []runbook.NoticeInput
}

func fire(t *testing.T, at, now string, in ScheduledRunInput) (*world, ScheduledRunResult, error) {
	t.Helper()
	return execute(t, at, now, in, ScheduledRun.Name)
}

// twice fires it again while the run that the first firing started is at work.
func twice(t *testing.T, at, now string, in ScheduledRunInput) (*world, ScheduledRunResult, error) {
	t.Helper()
	return execute(t, at, now, in, "twice")
}

// environment is the SDK's own, with patience: a machine may stand still for a while.
func environment(suite *testsuite.WorkflowTestSuite) *testsuite.TestWorkflowEnvironment {
	const patience = 5 * time.Minute
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(patience)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: patience})
	return env
}

func execute(t *testing.T, at, now string, in ScheduledRunInput, name string) (*world, ScheduledRunResult, error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	w := &world{TestWorkflowEnvironment: environment(&suite)}
	ScheduledRun.Bind(w, RunScheduledRun)
	runbook.SendNotice.Bind(w, func(_ context.Context, in runbook.NoticeInput) (runbook.NoticeOutput, error) {
		w.notices = append(w.notices, in)
		return runbook.NoticeOutput{Delivered: []string{"file"}}, nil
	})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context, in map[string]any) error {
		w.begun, w.inputs = append(w.begun, workflow.GetInfo(ctx).WorkflowExecution), append(w.inputs, in)
		return workflow.Sleep(ctx, 3*time.Hour)
	}, workflow.RegisterOptions{Name: "WeeklyMaintenance"})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context, in ScheduledRunInput) (ScheduledRunResult, error) {
		if _, err := RunScheduledRun(ctx, in); err != nil {
			return ScheduledRunResult{}, err
		}
		return RunScheduledRun(ctx, in)
	}, workflow.RegisterOptions{Name: "twice"})
	if at != "" {
		require.NoError(t, w.SetTypedSearchAttributesOnStart(temporal.NewSearchAttributes(scheduledStart.ValueSet(instant(t, at)))))
	}
	w.SetStartTime(instant(t, now))
	w.ExecuteWorkflow(name, in)
	require.True(t, w.IsWorkflowCompleted())
	var out ScheduledRunResult
	err := w.GetWorkflowError()
	if err == nil {
		require.NoError(t, w.GetWorkflowResult(&out))
	}
	return w, out, err
}

func instant(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	require.NoError(t, err)
	return at
}

func TestAFiringStartsTheProcedureOfItsDate(t *testing.T) {
	for _, c := range []struct{ name, at, now, date string }{
		{"in time", "2026-11-29T10:00:00Z", "2026-11-29T10:00:01Z", "2026-11-29"},
		{"late, within catch_up", "2026-11-29T10:00:00Z", "2026-11-29T11:00:00Z", "2026-11-29"},
		{"in a gap", "2027-03-14T10:00:00Z", "2027-03-14T10:00:01Z", "2027-03-14"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, out, err := fire(t, c.at, c.now, ScheduledRunInput{Schedule: weekly})
			require.NoError(t, err)
			require.Equal(t, ScheduledRunResult{Outcome: Started, Date: c.date, Workflow: "weekly-maintenance:" + c.date}, out)
			require.Len(t, w.begun, 1)
			require.Equal(t, "weekly-maintenance:"+c.date, w.begun[0].ID)
			require.Equal(t, map[string]any{"plan": true, "trigger": "schedule", "requestedBy": "schedule weekly-maintenance"}, w.inputs[0])
			require.Empty(t, w.notices)
		})
	}
}

func TestATooLateFiringStartsNothing(t *testing.T) {
	w, out, err := fire(t, "2026-11-29T10:00:00Z", "2026-11-29T11:00:01Z", ScheduledRunInput{Schedule: weekly})
	require.NoError(t, err)
	require.Equal(t, Missed, out.Outcome)
	require.Equal(t, "2026-11-29", out.Date)
	require.Contains(t, out.Why, "1h0m1s after its time")
	require.Empty(t, w.begun)
	require.Empty(t, w.notices, "the sweep tells of it, and tells once")
}

func TestADateThatHadItsRunIsSkippedAndTold(t *testing.T) {
	w, out, err := twice(t, "2026-11-29T10:00:00Z", "2026-11-29T10:00:01Z",
		ScheduledRunInput{Schedule: weekly, Notify: runbook.NotifyPolicy{File: "out/n.log"}})
	require.NoError(t, err)
	require.Equal(t, Skipped, out.Outcome)
	require.Len(t, w.notices, 1)
	n := w.notices[0]
	require.Equal(t, "schedule/weekly-maintenance:2026-11-29", n.Key)
	require.Equal(t, "WeeklyMaintenance of 2026-11-29 skipped", n.Title)
	require.Equal(t, "Schedule weekly-maintenance (every sunday at 02:00 America/Los_Angeles): the date has had its run: weekly-maintenance:2026-11-29. "+
		"It is not made up for; `hive schedules run weekly-maintenance` does it now.", n.Body)
	require.Equal(t, "out/n.log", n.Notify.File)
	require.Contains(t, n.Link, "/workflows/")
}

func TestATriggerByHandRunsForNoDate(t *testing.T) {
	w, out, err := fire(t, "2026-11-26T15:12:13Z", "2026-11-26T15:12:14Z", ScheduledRunInput{Schedule: weekly})
	require.NoError(t, err)
	require.Empty(t, out.Date)
	require.Equal(t, "weekly-maintenance", w.begun[0].ID)

	w, _, err = twice(t, "2026-11-26T15:12:13Z", "2026-11-26T15:12:14Z", ScheduledRunInput{Schedule: weekly})
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	require.ErrorContains(t, err, "weekly-maintenance is at work already")
	require.Empty(t, w.notices)
}

func TestScheduledRunRefusesWhatNoScheduleWrites(t *testing.T) {
	change := func(f func(*runbook.SchedulePolicy)) ScheduledRunInput {
		s := weekly
		f(&s)
		return ScheduledRunInput{Schedule: s}
	}
	for name, c := range map[string]struct {
		at   string
		in   ScheduledRunInput
		want string
	}{
		"started by hand": {"", ScheduledRunInput{Schedule: weekly}, "start WeeklyMaintenance itself: `hive run WeeklyMaintenance`"},
		"nothing":         {"2026-11-29T10:00:00Z", ScheduledRunInput{}, "an input that acts: {\"schedule\""},
		"zone":            {"2026-11-29T10:00:00Z", change(func(s *runbook.SchedulePolicy) { s.Timezone = "Nowhere" }), "schedule.timezone: \"Nowhere\""},
		"catch up":        {"2026-11-29T10:00:00Z", change(func(s *runbook.SchedulePolicy) { s.CatchUp = 0 }), "schedule.catchUp"},
		"input":           {"2026-11-29T10:00:00Z", change(func(s *runbook.SchedulePolicy) { s.Input = "[]" }), "input is not a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, err := fire(t, c.at, "2026-11-29T10:00:01Z", c.in)
			require.Equal(t, runbook.Refused, runbook.KindOf(err), "%v", err)
			require.ErrorContains(t, err, c.want)
			require.Empty(t, w.begun)
		})
	}
}

func TestMissedRunTells(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := environment(&suite)
	MissedRun.Bind(env, RunMissedRun)
	var sent []runbook.NoticeInput
	runbook.SendNotice.Bind(env, func(_ context.Context, in runbook.NoticeInput) (runbook.NoticeOutput, error) {
		if sent = append(sent, in); len(sent) == 1 {
			return runbook.NoticeOutput{}, runbook.Fail(runbook.Unreachable, "the mail server is away")
		}
		return runbook.NoticeOutput{Delivered: []string{"file", "smtp"}}, nil
	})
	env.ExecuteWorkflow(MissedRun.Name, MissedRunInput{Schedule: weekly, Date: "2026-11-29", Outcome: Missed, Why: "nothing ran"})
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, sent, 2, "tried again")
	require.Equal(t, "schedule/weekly-maintenance:2026-11-29", sent[0].Key, "the key of a skipped one: a date is told once")
	require.Equal(t, "WeeklyMaintenance of 2026-11-29 missed", sent[0].Title)
	require.Equal(t, "missed:weekly-maintenance:2026-11-29", MissedRun.ID(MissedRunInput{Schedule: weekly, Date: "2026-11-29"}))
	require.Error(t, MissedRunInput{}.Validate())
	require.Error(t, MissedRunInput{Schedule: weekly, Date: "2026-11-29", Outcome: "lost"}.Validate())
}

func TestJudgeReach(t *testing.T) {
	now := instant(t, "2026-11-24T10:00:00Z")
	in := func(days int) time.Time { return now.AddDate(0, 0, days) }
	policies := []runbook.SchedulePolicy{{ID: "a"}, {ID: "b"}}
	b := runbook.ScheduleState{ID: "b", Found: true, Reach: in(80)}
	for _, c := range []struct {
		name     string
		policies []runbook.SchedulePolicy
		seen     []runbook.ScheduleState
		err      error
		want     runbook.Severity
		says     string
	}{
		{"well", policies, []runbook.ScheduleState{{ID: "a", Found: true, Reach: in(62)}, b}, nil, runbook.Good, "2 schedules, calendars for 62 days and more"},
		{"none", nil, nil, nil, runbook.Good, "nothing runs by itself"},
		{"short", policies, []runbook.ScheduleState{{ID: "a", Found: true, Reach: in(13)}, b}, nil, runbook.Warning, "a has calendars for 13 days only, until 2026-12-07"},
		{"just enough", policies, []runbook.ScheduleState{{ID: "a", Found: true, Reach: in(14)}, b}, nil, runbook.Good, "14 days"},
		{"not there", policies, []runbook.ScheduleState{{ID: "a", Reach: in(1)}, b}, nil, runbook.Warning, "a is not in Temporal yet"},
		{"paused", policies, []runbook.ScheduleState{{ID: "a", Found: true, Paused: true, Note: "holidays", Reach: in(80)}, b}, nil, runbook.Warning, "a is paused (holidays): `hive schedules resume a`"},
		{"not asked", policies, []runbook.ScheduleState{b}, nil, runbook.NoData, "schedule a was not looked at"},
		{"away", policies, nil, errors.New("Temporal does not answer"), runbook.NoData, "Temporal does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			severity, says := JudgeReach(c.policies, runbook.SchedulesState{Now: now, Schedules: c.seen}, c.err)
			require.Equal(t, c.want, severity)
			require.Contains(t, says, c.says)
		})
	}
}
