package temporal

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"go.temporal.io/sdk/client"
)

// Schedules are written as calendars of instants in UTC, not as a rule in a zone:
// Temporal's own rule runs a date twice where clocks are put back, and leaves it out
// where they are put forward over its hour (both seen).

// month is the minutes of one hour of one month: one calendar holds all its days.
type month struct {
	year         int
	month        time.Month
	hour, minute int
}

// Calendars writes instants, which fall on whole minutes, as few calendars.
func Calendars(instants []time.Time, comment string) []client.ScheduleCalendarSpec {
	days := map[month][]int{}
	for _, at := range instants {
		at = at.UTC()
		k := month{at.Year(), at.Month(), at.Hour(), at.Minute()}
		days[k] = append(days[k], at.Day())
	}
	keys := slices.SortedFunc(maps.Keys(days), func(a, b month) int {
		return cmp.Or(cmp.Compare(a.year, b.year), cmp.Compare(a.month, b.month), cmp.Compare(a.hour, b.hour), cmp.Compare(a.minute, b.minute))
	})
	var out []client.ScheduleCalendarSpec
	for _, k := range keys {
		out = append(out, client.ScheduleCalendarSpec{
			Year: one(k.year), Month: one(int(k.month)), DayOfMonth: ranges(days[k]),
			Hour: one(k.hour), Minute: one(k.minute), Second: one(0), DayOfWeek: []client.ScheduleRange{{Start: 0, End: 6, Step: 1}},
			Comment: comment,
		})
	}
	return out
}

func one(v int) []client.ScheduleRange { return []client.ScheduleRange{{Start: v, End: v, Step: 1}} }

// ranges joins days that follow each other.
func ranges(days []int) []client.ScheduleRange {
	slices.Sort(days)
	var out []client.ScheduleRange
	for _, day := range slices.Compact(days) {
		if last := len(out) - 1; last >= 0 && out[last].End == day-1 {
			out[last].End = day
			continue
		}
		out = append(out, one(day)...)
	}
	return out
}

// mostYears bounds what Instants spells out: a calendar of ours holds one year.
const mostYears = 3

// Instants spells out what Calendars wrote, sorted. False means that the schedule
// holds something else too (a rule for ever, an interval, another zone), which
// somebody else has written.
func Instants(spec client.ScheduleSpec) ([]time.Time, bool) {
	plain := len(spec.Intervals) == 0 && len(spec.CronExpressions) == 0 && len(spec.Skip) == 0 && spec.Jitter == 0 &&
		spec.StartAt.IsZero() && spec.EndAt.IsZero() && (spec.TimeZoneName == "" || spec.TimeZoneName == "UTC")
	var out []time.Time
	for _, c := range spec.Calendars {
		years := values(c.Year)
		if len(years) == 0 || len(years) > mostYears || !slices.Equal(values(c.Second), []int{0}) {
			plain = false
			continue
		}
		for _, year := range years {
			out = append(out, instants(c, year)...)
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return slices.CompactFunc(out, time.Time.Equal), plain
}

func instants(c client.ScheduleCalendarSpec, year int) []time.Time {
	var out []time.Time
	for _, m := range values(c.Month) {
		for _, day := range values(c.DayOfMonth) {
			date := time.Date(year, time.Month(m), day, 0, 0, 0, 0, time.UTC)
			if date.Day() != day || !slices.Contains(values(c.DayOfWeek), int(date.Weekday())) {
				continue // there is no 31st of June
			}
			for _, hour := range values(c.Hour) {
				for _, minute := range values(c.Minute) {
					out = append(out, date.Add(time.Duration(hour)*time.Hour+time.Duration(minute)*time.Minute))
				}
			}
		}
	}
	return out
}

// values are the numbers of ranges. The server leaves out an end that is the start,
// and a step of one.
func values(all []client.ScheduleRange) []int {
	var out []int
	for _, r := range all {
		for v := r.Start; v <= max(r.Start, r.End); v += max(1, r.Step) {
			out = append(out, v)
		}
	}
	return out
}
