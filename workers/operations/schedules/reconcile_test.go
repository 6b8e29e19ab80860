package schedules

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"

	common "go.temporal.io/api/common/v1"

	"github.com/leanvibe/hive/workflows/maintenance"
	"github.com/leanvibe/hive/workflows/runbook"
	"github.com/leanvibe/hive/workflows/schedule"
)

const zone = "America/Los_Angeles"

var tuesday = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// pair is two schedules in a world, reconciled once.
func pair(t *testing.T) (*world, *keeper, *runbook.Policy) {
	t.Helper()
	w := newWorld(t, tuesday)
	policy := &runbook.Policy{Schedules: schedulesOf(zone, time.Hour, [3]string{"weekly", "sunday", "02:00"}, [3]string{"daily", "day", "09:00"})}
	k := w.keeperOf(t.TempDir(), policy)
	require.NoError(t, k.once(t.Context(), w.now))
	require.Len(t, w.schedules, 2)
	return w, k, policy
}

func (w *world) reconciled(k *keeper, policy *runbook.Policy) []Change {
	changes, err := reconcile(w.t.Context(), w, *policy, k.Procedures, w.now)
	require.NoError(w.t, err)
	return changes
}

func TestAScheduleIsWrittenOnceAndReachesSixtyDays(t *testing.T) {
	w, k, policy := pair(t)
	require.Empty(t, w.reconciled(k, policy), "nothing to do is nothing done")
	require.Equal(t, 2, w.writes)
	b := w.schedules["weekly"]
	require.True(t, b.ours)
	require.Equal(t, "ScheduledRun", b.workflow)
	require.Equal(t, "scheduled:weekly", b.action)
	require.Equal(t, time.Hour, b.catchUp)
	require.False(t, b.pauseOnFailure)
	require.Equal(t, time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC), b.instants[0])

	// Whenever it is looked at, it reaches 60 days, and it is not written every day.
	w.writes = 0
	for end := w.now.AddDate(1, 1, 0); w.now.Before(end); {
		w.now = earliest(w.now.Add(day), w.next())
		w.tick()
		require.NoError(t, k.once(t.Context(), w.now))
		shown, err := show(t.Context(), w, w.schedules["weekly"].entry, w.now)
		require.NoError(t, err)
		require.Greater(t, shown.Reach.Sub(w.now), leastReach)
	}
	require.Less(t, w.writes, 60)
	require.Empty(t, w.notices)
}

func TestReconcileDoesWhatThePolicySays(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world, *runbook.Policy)
		want   []Change
	}{
		{"the hour", func(_ *world, p *runbook.Policy) { p.Schedules[0].At = "03:00" }, []Change{{"weekly", "updated: it said something else than runbook.yaml"}}},
		{"the zone", func(_ *world, p *runbook.Policy) { p.Schedules[1].Timezone = "Europe/Berlin" }, []Change{{"daily", "updated: it said something else than runbook.yaml"}}},
		{"the window", func(_ *world, p *runbook.Policy) { p.Schedules[0].CatchUp *= 2 }, []Change{{"weekly", "updated: it said something else than runbook.yaml"}}},
		{"who hears", func(_ *world, p *runbook.Policy) { p.Notify.File = "out/other.log" }, []Change{
			{"weekly", "updated: it said something else than runbook.yaml"}, {"daily", "updated: it said something else than runbook.yaml"},
		}},
		{"one less", func(_ *world, p *runbook.Policy) { p.Schedules = p.Schedules[1:] }, []Change{{"weekly", "deleted: runbook.yaml no longer names it"}}},
		{"none", func(_ *world, p *runbook.Policy) { p.Schedules = nil }, []Change{
			{"daily", "deleted: runbook.yaml no longer names it"}, {"weekly", "deleted: runbook.yaml no longer names it"},
		}},
		{"one that somebody deleted", func(w *world, _ *runbook.Policy) { delete(w.schedules, "daily") }, []Change{{"daily", "created: every day at 09:00 America/Los_Angeles"}}},
		{"calendars that somebody changed", func(w *world, _ *runbook.Policy) {
			w.schedules["weekly"].instants[0] = w.schedules["weekly"].instants[0].Add(time.Hour)
		}, []Change{{"weekly", "updated: its calendars were not those of its rule"}}},
		{"a rule that somebody added", func(w *world, _ *runbook.Policy) { w.schedules["weekly"].plain = false }, []Change{{"weekly", "updated: its calendars were not those of its rule"}}},
		{"calendars that ran out", func(w *world, _ *runbook.Policy) { w.schedules["weekly"].instants = nil }, []Change{{"weekly", "updated: renewed for the next 92 days"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, k, policy := pair(t)
			c.change(w, policy)
			require.Equal(t, c.want, w.reconciled(k, policy))
			require.Empty(t, w.reconciled(k, policy), "once is enough")
		})
	}
}

func TestOthersSchedulesAreNeverTouched(t *testing.T) {
	w, k, policy := pair(t)
	theirs := &booked{entry: entry{id: "nightly", instants: []time.Time{tuesday.Add(time.Hour)}}}
	w.schedules["nightly"], w.writes = theirs, 0
	before := *theirs

	policy.Schedules = append(policy.Schedules, schedulesOf(zone, time.Hour, [3]string{"nightly", "day", "01:00"})...)
	_, err := reconcile(t.Context(), w, *policy, k.Procedures, w.now)
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	require.ErrorContains(t, err, "schedule nightly exists and was not made by hive")
	policy.Schedules = nil
	require.Len(t, w.reconciled(k, policy), 2, "ours go")
	require.Equal(t, before, *w.schedules["nightly"])
	require.Equal(t, 2, w.writes)

	// Made anew by somebody under an id that a list still calls ours.
	w, k, policy = pair(t)
	stale := &staleList{world: w}
	w.schedules["weekly"].ours = false
	policy.Schedules = policy.Schedules[1:]
	_, err = reconcile(t.Context(), stale, *policy, k.Procedures, w.now)
	require.NoError(t, err)
	require.Contains(t, w.schedules, "weekly")
}

func TestOneBadScheduleDoesNotKeepTheOthers(t *testing.T) {
	w := newWorld(t, tuesday)
	policy := &runbook.Policy{Schedules: schedulesOf(zone, time.Hour, [3]string{"a", "day", "02:00"}, [3]string{"b", "day", "02:00"}, [3]string{"c", "day", "02:00"})}
	policy.Schedules[0].Procedure = "WeeklyMaintenence"
	policy.Schedules[1].Procedure, policy.Schedules[1].Input = "DatabaseMaintenance", `{"windw":"90m"}`
	known := append(w.keeperOf("", policy).Procedures, Of(maintenance.DatabaseMaintenance))
	changes, err := reconcile(t.Context(), w, *policy, known, w.now)
	require.ErrorContains(t, err, `schedule a: there is no procedure WeeklyMaintenence; expected one of ["WeeklyMaintenance" "ReadinessCheck" "DatabaseMaintenance"]`)
	require.ErrorContains(t, err, `schedule b: input of DatabaseMaintenance: json: unknown field "windw"; an input that acts: {"window":"30m"}`)
	require.Equal(t, []Change{{"c", "created: every day at 02:00 America/Los_Angeles"}}, changes)
	policy.Schedules[1].Input = `{"window":"-1m"}`
	_, err = reconcile(t.Context(), w, *policy, known, w.now)
	require.ErrorContains(t, err, "window: -1m0s is negative")
}

func TestARenewalWaitsForWhatTemporalStillCatchesUpWith(t *testing.T) {
	w, k, policy := pair(t)
	due := w.schedules["daily"].instants
	w.now = due[20].Add(30 * time.Minute)
	require.Empty(t, w.reconciled(k, policy), "the date's window is open")
	w.now = due[20].Add(2 * time.Hour)
	require.Equal(t, []Change{{"daily", "updated: renewed for the next 92 days"}}, w.reconciled(k, policy))
}

func TestAPausedScheduleStaysPaused(t *testing.T) {
	w, k, policy := pair(t)
	w.schedules["daily"].paused, w.schedules["daily"].note = true, "holidays"
	policy.Schedules[1].At = "10:00"
	require.Len(t, w.reconciled(k, policy), 1)
	require.True(t, w.schedules["daily"].paused)
	require.Equal(t, "holidays", w.schedules["daily"].note)
}

// Temporal hands the input back as a payload; what is read from it must equal what
// was written, or every look would write again.
func TestTheShapeSurvivesTemporal(t *testing.T) {
	_, _, policy := pair(t)
	in := schedule.ScheduledRunInput{Schedule: policy.Schedules[0], Notify: runbook.NotifyPolicy{URLFile: "secrets/notify_urls", File: "out/n.log"}}
	require.NoError(t, in.Validate())
	raw, err := converter.GetDefaultDataConverter().ToPayload(in)
	require.NoError(t, err)
	var back schedule.ScheduledRunInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayload(raw, &back))
	require.Equal(t, shapeOf(in), shapeOf(back))
	require.True(t, marked(&common.Memo{Fields: map[string]*common.Payload{mark: raw}}))
	require.False(t, marked(nil))
}

// staleList still calls ours what no longer is.
type staleList struct{ *world }

func (s *staleList) list(context.Context) ([]string, error) {
	return []string{"daily", "weekly"}, nil
}
