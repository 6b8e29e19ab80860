package runbook

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// zones put their clocks forward and back by an hour at 02:00, at 02:00 and 03:00,
// by half an hour, at midnight on a Friday, at midnight on a Sunday, and over midnight
// from one day into the next.
var zones = []string{
	"America/Los_Angeles", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Beirut", "America/Nuuk", "UTC",
}

var hours = []string{"00:00", "00:30", "01:00", "01:30", "01:59", "02:00", "02:15", "02:30", "03:00", "12:00", "23:00", "23:30", "23:59"}

func calendar(t *testing.T, every, at, zone string) Calendar {
	t.Helper()
	c, err := SchedulePolicy{Every: every, At: at, Timezone: zone}.Calendar()
	require.NoError(t, err)
	return c
}

// The rule said once more, and differently: a date is due at the first minute at
// which the clocks show its hour or a later one. Every minute of ten years is looked
// at, and every date must come once.
func TestEveryDateIsDueOnceAtTheFirstMinuteThatShowsItsHour(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	until := time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, zone := range zones {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			location, err := time.LoadLocation(zone)
			require.NoError(t, err)
			want := make([][]Due, len(hours))
			next := make([]time.Time, len(hours)) // the wall clock to wait for, as if it were UTC
			for i, hour := range hours {
				at, err := time.Parse("15:04", hour)
				require.NoError(t, err)
				next[i] = time.Date(2026, 1, 2, at.Hour(), at.Minute(), 0, 0, time.UTC)
			}
			for at := from; !at.After(until); at = at.Add(time.Minute) {
				_, offset := at.In(location).Zone()
				wall := at.Add(time.Duration(offset) * time.Second)
				for i := range hours {
					if !wall.Before(next[i]) {
						want[i] = append(want[i], Due{next[i].Format(time.DateOnly), at})
						next[i] = next[i].AddDate(0, 0, 1)
					}
				}
			}
			for i, hour := range hours {
				c := calendar(t, "day", hour, zone)
				require.Equal(t, want[i], c.Between(want[i][0].At.Add(-time.Minute), until), hour)
				for k, due := range want[i] {
					if found, ok := c.Nominal(due.At); !ok || found.Date != due.Date {
						require.Equal(t, due, found, "the date of an instant is not found back")
					}
					if k > 0 && !c.First(want[i][k-1].At).At.Equal(due.At) {
						require.Equal(t, due, c.First(want[i][k-1].At))
					}
				}
			}
		})
	}
}

func TestNamedChangesOfTheClocks(t *testing.T) {
	for _, c := range []struct{ name, every, at, zone, date, want string }{
		{"a gap runs behind it", "sunday", "02:00", "America/Los_Angeles", "2027-03-14", "2027-03-14T10:00:00Z"},
		{"a gap's middle runs behind it too", "sunday", "02:30", "America/Los_Angeles", "2027-03-14", "2027-03-14T10:00:00Z"},
		{"a fold runs the first time", "first sunday", "01:00", "America/Los_Angeles", "2027-11-07", "2027-11-07T08:00:00Z"},
		{"half an hour", "sunday", "02:15", "Australia/Lord_Howe", "2026-10-04", "2026-10-03T15:30:00Z"},
		{"half an hour twice", "sunday", "01:45", "Australia/Lord_Howe", "2027-04-04", "2027-04-03T14:45:00Z"},
		{"midnight does not exist", "day", "00:00", "Africa/Cairo", "2027-04-30", "2027-04-29T22:00:00Z"},
		{"midnight does not exist on a sunday", "sunday", "00:30", "Asia/Beirut", "2027-03-28", "2027-03-27T22:00:00Z"},
		{"the gap ends on the next day", "day", "23:30", "America/Nuuk", "2027-03-27", "2027-03-28T01:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, c.want)
			require.NoError(t, err)
			rule := calendar(t, c.every, c.at, c.zone)
			due, ok := rule.Nominal(at)
			require.True(t, ok)
			require.Equal(t, c.date, due.Date)
			around := rule.Between(at.Add(-12*time.Hour), at.Add(12*time.Hour))
			require.Equal(t, []Due{due}, around, "once")
		})
	}
}

func TestRulesOfDates(t *testing.T) {
	from := time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC)
	for every, want := range map[string][]string{
		"day":             {"2027-01-01", "2027-01-02", "2027-01-03"},
		"sunday":          {"2027-01-03", "2027-01-10", "2027-01-17"},
		"first sunday":    {"2027-01-03", "2027-02-07", "2027-03-07"},
		"second tuesday":  {"2027-01-12", "2027-02-09", "2027-03-09"},
		"third friday":    {"2027-01-15", "2027-02-19", "2027-03-19"},
		"fourth saturday": {"2027-01-23", "2027-02-27", "2027-03-27"},
		"last sunday":     {"2027-01-31", "2027-02-28", "2027-03-28"},
	} {
		t.Run(every, func(t *testing.T) {
			c := calendar(t, every, "09:00", "UTC")
			var got []string
			for at := from; len(got) < 3; {
				due := c.First(at)
				got, at = append(got, due.Date), due.At
			}
			require.Equal(t, want, got)
		})
	}
}

func TestARuleThatMakesNoSenseIsRefused(t *testing.T) {
	for _, c := range []struct {
		policy SchedulePolicy
		want   string
	}{
		{SchedulePolicy{Every: "sundays", At: "02:00", Timezone: "UTC"}, `every: "sundays"; expected day, a weekday`},
		{SchedulePolicy{Every: "fifth sunday", At: "02:00", Timezone: "UTC"}, `every: "fifth sunday"`},
		{SchedulePolicy{Every: "first day", At: "02:00", Timezone: "UTC"}, `every: "first day"`},
		{SchedulePolicy{Every: "first", At: "02:00", Timezone: "UTC"}, `every: "first"`},
		{SchedulePolicy{Every: "", At: "02:00", Timezone: "UTC"}, `every: ""`},
		{SchedulePolicy{Every: "day", At: "24:00", Timezone: "UTC"}, `at: "24:00"; expected an hour and a minute`},
		{SchedulePolicy{Every: "day", At: "2:00", Timezone: "UTC"}, `at: "2:00"`},
		{SchedulePolicy{Every: "day", At: "02:00", Timezone: "Amerika/Berlin"}, `timezone: "Amerika/Berlin"; expected a zone`},
		{SchedulePolicy{Every: "day", At: "02:00", Timezone: "Local"}, `timezone: "Local"`},
		{SchedulePolicy{Every: "day", At: "02:00"}, `timezone: ""`},
	} {
		_, err := c.policy.Calendar()
		require.ErrorContains(t, err, c.want)
	}
}
