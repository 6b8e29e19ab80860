package schedules

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	hand "github.com/leanvibe/hive/activities/temporal"
	"github.com/leanvibe/hive/workers/operations/schedules"
	"github.com/leanvibe/hive/workflows/runbook"
	"github.com/leanvibe/hive/workflows/schedule"
)

func describeOps() *workflowservice.DescribeNamespaceRequest {
	return &workflowservice.DescribeNamespaceRequest{Namespace: "ops"}
}

func TestACalendarTwoMinutesAheadFiresOnce(t *testing.T) {
	p := start(t)
	daily, due := soon("daily")
	p.policy.Schedules = []runbook.SchedulePolicy{daily}
	p.employ()

	want := map[string]int{"daily:" + due.Format(time.DateOnly) + " by schedule": 1}
	require.Eventually(t, func() bool { return len(p.ran()) > 0 }, 3*time.Minute, time.Second)
	began := time.Now()
	t.Logf("due at %s, begun %s after", due.Format(time.RFC3339), began.Sub(due).Round(time.Millisecond))
	require.False(t, began.Before(due))
	p.at(due.Add(time.Minute + 40*time.Second)) // its window, the grace, and a look
	require.Equal(t, want, p.ran())
	require.Empty(t, p.notices())
	shown, err := schedules.Find(t.Context(), p.client, "daily")
	require.NoError(t, err)
	require.Len(t, shown.Last, 1)
	require.Equal(t, "succeeded", shown.Last[0].Outcome)
	require.Equal(t, due.AddDate(0, 0, 1).Format(time.DateOnly), shown.Next[0].Date)
	t.Logf("next: %v; last: %v", shown.Next, shown.Last)
}

func TestWithOpsworkerAwayOnePersonIsToldOnce(t *testing.T) {
	p := start(t)
	daily, due := soon("daily")
	p.policy.Schedules = []runbook.SchedulePolicy{daily}
	changes, err := schedules.Reconcile(t.Context(), p.client, p.policy, known) // hive up, with no worker
	require.NoError(t, err)
	require.Len(t, changes, 1)
	p.at(due.Add(time.Minute + 30*time.Second))
	p.toldOnce(due)
}

func TestWithTemporalAwayOnePersonIsToldOnce(t *testing.T) {
	p := start(t)
	daily, due := soon("daily")
	p.policy.Schedules = []runbook.SchedulePolicy{daily}
	p.employ()
	require.Eventually(t, func() bool {
		_, err := schedules.Find(t.Context(), p.client, "daily")
		return err == nil
	}, 30*time.Second, 100*time.Millisecond)
	p.at(due.Add(-10 * time.Second))
	p.dismiss()
	p.kill()
	p.at(due.Add(time.Minute + 10*time.Second))
	p.serve()
	p.toldOnce(due)
}

// toldOnce brings opsworker back, twice, and counts.
func (p *platform) toldOnce(due time.Time) {
	t := p.t
	t.Helper()
	p.employ()
	require.Eventually(t, func() bool { return len(p.notices()) > 0 }, time.Minute, time.Second)
	t.Logf("told %s after the end of the window", time.Since(due.Add(time.Minute)).Round(time.Second))
	p.dismiss()
	p.employ() // a restart tells nobody again
	p.at(time.Now().Add(35 * time.Second))
	require.Len(t, p.notices(), 1)
	line := p.notices()[0]
	t.Log(line)
	require.Contains(t, line, `"key":"schedule/daily:`+due.Format(time.DateOnly)+`"`)
	require.Contains(t, line, "ReadinessCheck of "+due.Format(time.DateOnly)+" missed")
	require.Empty(t, p.ran(), "a missed date is not made up for")
	shown, err := schedules.Find(t.Context(), p.client, "daily")
	require.NoError(t, err)
	require.Equal(t, "missed", shown.Last[0].Outcome)
}

// What Temporal hands back must equal what was written, and others' must stay.
func TestReconcileOnTheRealServer(t *testing.T) {
	p := start(t)
	ctx := t.Context()
	theirs, err := p.client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: "theirs", Spec: client.ScheduleSpec{CronExpressions: []string{"0 3 * * *"}},
		Action: &client.ScheduleWorkflowAction{ID: "theirs", Workflow: "Theirs", TaskQueue: "theirs"},
	})
	require.NoError(t, err)
	before, err := theirs.Describe(ctx)
	require.NoError(t, err)
	monthly := runbook.SchedulePolicy{
		ID: "monthly", Procedure: "ReadinessCheck", Every: "first sunday", At: "01:00", Timezone: "America/Los_Angeles",
		CatchUp: runbook.Duration(2 * time.Hour), Input: `{"plan":true}`,
	}
	daily := runbook.SchedulePolicy{
		ID: "morning", Procedure: "ReadinessCheck", Every: "day", At: "09:00", Timezone: "Australia/Lord_Howe", CatchUp: runbook.Duration(time.Hour),
	}
	p.policy.Schedules = []runbook.SchedulePolicy{monthly, daily}
	p.reconciled("monthly", "morning")
	p.reconciled()

	state, err := hand.Schedules{Client: p.client.ScheduleClient()}.Observe(ctx, runbook.SchedulesInput{Schedules: p.policy.Schedules})
	require.NoError(t, err)
	severity, says := schedule.JudgeReach(p.policy.Schedules, state, nil)
	t.Log(severity, says)
	require.Equal(t, runbook.Good, severity)
	for _, s := range state.Schedules {
		require.Greater(t, s.Reach.Sub(state.Now), 60*24*time.Hour)
	}
	// The server's own reckoning of what comes next is ours.
	found, err := p.client.ScheduleClient().GetHandle(ctx, "morning").Describe(ctx)
	require.NoError(t, err)
	calendar, err := daily.Calendar()
	require.NoError(t, err)
	at := time.Now()
	for _, next := range found.Info.NextActionTimes {
		due := calendar.First(at)
		require.True(t, next.Equal(due.At), "Temporal: %s, rule: %s", next, due.At)
		at = due.At
	}
	require.Len(t, found.Info.NextActionTimes, 10)

	paused, err := schedules.Pause(ctx, p.client, "morning", "freeze")
	require.NoError(t, err)
	require.True(t, paused)
	p.policy.Schedules[1].At = "08:30"
	p.reconciled("morning")
	shown, err := schedules.Find(ctx, p.client, "morning")
	require.NoError(t, err)
	require.True(t, shown.Paused, "an edit of the policy does not resume it")
	require.Equal(t, "freeze", shown.Note)
	require.Equal(t, "08:30", shown.Next[0].At.Format("15:04"))
	resumed, err := schedules.Resume(ctx, p.client, "morning", "go on")
	require.NoError(t, err)
	require.True(t, resumed)

	p.policy.Schedules = p.policy.Schedules[:1]
	p.reconciled("morning")
	_, err = schedules.Find(ctx, p.client, "morning")
	require.Equal(t, runbook.Missing, runbook.KindOf(err))
	_, err = schedules.Pause(ctx, p.client, "theirs", "")
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	after, err := theirs.Describe(ctx)
	require.NoError(t, err)
	require.Equal(t, before.Schedule.Spec, after.Schedule.Spec)
	require.Equal(t, before.Info.LastUpdateAt, after.Info.LastUpdateAt)
	all, err := schedules.Read(ctx, p.client)
	require.NoError(t, err)
	require.Len(t, all, 1)
}

// reconciled expects exactly these to change. A list of schedules lags behind.
func (p *platform) reconciled(want ...string) {
	p.t.Helper()
	var got []string
	require.Eventually(p.t, func() bool {
		changes, err := schedules.Reconcile(p.t.Context(), p.client, p.policy, known)
		require.NoError(p.t, err)
		for _, c := range changes {
			p.t.Log(c)
			got = append(got, c.Schedule)
		}
		return len(got) >= len(want)
	}, 20*time.Second, 200*time.Millisecond)
	require.Equal(p.t, want, got)
}
