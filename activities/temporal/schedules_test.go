package temporal

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/workflows/runbook"
)

func daily(zone string) runbook.SchedulePolicy {
	return runbook.SchedulePolicy{ID: "morning", Procedure: "ReadinessCheck", Every: "day", At: "09:00", Timezone: zone}
}

func times(due []runbook.Due) []time.Time {
	var out []time.Time
	for _, d := range due {
		out = append(out, d.At)
	}
	return out
}

func TestCalendarsHoldTheInstantsAndNothingElse(t *testing.T) {
	from := time.Date(2026, 10, 20, 17, 0, 0, 0, time.UTC)
	for every, few := range map[string]int{"day": 7, "sunday": 7, "first sunday": 5, "last monday": 5} {
		for _, zone := range []string{"America/Los_Angeles", "Australia/Lord_Howe", "Africa/Cairo", "UTC"} {
			policy := daily(zone)
			policy.Every = every
			calendar, err := policy.Calendar()
			require.NoError(t, err)
			want := times(calendar.Between(from, from.AddDate(0, 0, 92)))
			spec := client.ScheduleSpec{Calendars: Calendars(want, "comment")}
			got, plain := Instants(spec)
			require.True(t, plain)
			require.Equal(t, want, got)
			require.LessOrEqual(t, len(spec.Calendars), few, "a month's days of one hour are one calendar")
		}
	}
}

func TestWhatWeDidNotWriteIsSeen(t *testing.T) {
	ours := Calendars([]time.Time{time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)}, "")
	for name, spec := range map[string]client.ScheduleSpec{
		"interval":  {Calendars: ours, Intervals: []client.ScheduleIntervalSpec{{Every: time.Hour}}},
		"zone":      {Calendars: ours, TimeZoneName: "Europe/Berlin"},
		"jitter":    {Calendars: ours, Jitter: time.Minute},
		"skip":      {Calendars: ours, Skip: ours},
		"end":       {Calendars: ours, EndAt: time.Now()},
		"for ever":  {Calendars: []client.ScheduleCalendarSpec{{Second: one(0), Hour: one(9)}}},
		"cron":      {Calendars: ours, CronExpressions: []string{"0 9 * * *"}},
		"a second":  {Calendars: []client.ScheduleCalendarSpec{{Year: one(2026), Second: one(30)}}},
		"centuries": {Calendars: []client.ScheduleCalendarSpec{{Year: []client.ScheduleRange{{Start: 2026, End: 2099}}, Second: one(0)}}},
	} {
		_, plain := Instants(spec)
		require.False(t, plain, name)
	}
}

func TestTheServersWayOfWritingRangesIsRead(t *testing.T) {
	at := time.Date(2026, 11, 29, 10, 30, 0, 0, time.UTC)
	spec := client.ScheduleSpec{TimeZoneName: "UTC", Calendars: []client.ScheduleCalendarSpec{{
		Year: []client.ScheduleRange{{Start: 2026}}, Month: []client.ScheduleRange{{Start: 11}}, DayOfMonth: []client.ScheduleRange{{Start: 29, End: 31}},
		Hour: []client.ScheduleRange{{Start: 10}}, Minute: []client.ScheduleRange{{Start: 30}}, Second: []client.ScheduleRange{{}},
		DayOfWeek: []client.ScheduleRange{{Start: 0, End: 6}},
	}}}
	got, plain := Instants(spec)
	require.True(t, plain)
	require.Equal(t, []time.Time{at, at.AddDate(0, 0, 1)}, got, "November has no 31st")
}

// scheduler is the part of Temporal's schedules that the hand asks.
type scheduler struct {
	client.ScheduleClient
	found map[string]*client.ScheduleDescription
	err   error
}

func (s scheduler) GetHandle(_ context.Context, id string) client.ScheduleHandle {
	return handle{found: s.found[id], err: s.err}
}

type handle struct {
	client.ScheduleHandle
	found *client.ScheduleDescription
	err   error
}

func (h handle) Describe(context.Context) (*client.ScheduleDescription, error) {
	if h.found == nil && h.err == nil {
		return nil, serviceerror.NewNotFound("schedule not found")
	}
	return h.found, h.err
}

func TestObserveSaysHowFarTheCalendarsReach(t *testing.T) {
	policy := daily("America/Los_Angeles")
	zone, err := time.LoadLocation(policy.Timezone)
	require.NoError(t, err)
	now := time.Now()
	policy.At = now.In(zone).Add(12 * time.Hour).Format("15:04") // far enough that no date falls due meanwhile
	calendar, err := policy.Calendar()
	require.NoError(t, err)
	due := calendar.Between(now, now.AddDate(0, 0, 40))
	kept := times(due)
	holed := append(append([]time.Time{}, kept[:5]...), kept[6:]...)
	at := func(instants []time.Time) *client.ScheduleDescription {
		return &client.ScheduleDescription{Schedule: client.Schedule{
			Spec: &client.ScheduleSpec{Calendars: Calendars(instants, "")}, State: &client.ScheduleState{Paused: true, Note: "holidays"},
		}}
	}
	for name, c := range map[string]struct {
		found *client.ScheduleDescription
		reach time.Time
	}{
		"whole":        {at(kept), calendar.First(kept[len(kept)-1]).At},
		"with a hole":  {at(holed), kept[5]},
		"empty":        {at(nil), kept[0]},
		"not there":    {nil, kept[0]},
		"other's hour": {at([]time.Time{kept[0].Add(time.Hour)}), kept[0]},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Schedules{scheduler{found: map[string]*client.ScheduleDescription{"morning": c.found}}}.
				Observe(t.Context(), runbook.SchedulesInput{Schedules: []runbook.SchedulePolicy{policy}})
			require.NoError(t, err)
			require.Len(t, got.Schedules, 1)
			s := got.Schedules[0]
			require.Equal(t, c.reach.UTC(), s.Reach.UTC())
			require.Equal(t, c.found != nil, s.Found)
			require.Equal(t, c.found != nil, s.Paused)
		})
	}
}

func TestObserveFailsByKind(t *testing.T) {
	_, err := Schedules{scheduler{err: serviceerror.NewUnavailable("away")}}.
		Observe(t.Context(), runbook.SchedulesInput{Schedules: []runbook.SchedulePolicy{daily("UTC")}})
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
	_, err = Schedules{scheduler{}}.Observe(t.Context(), runbook.SchedulesInput{Schedules: []runbook.SchedulePolicy{daily("Nowhere")}})
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
}
