package policy

import (
	"cmp"
	"fmt"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	defaultCatchUp = runbook.Duration(time.Hour)
	// maxCatchUp is below the shortest time between two dates, so that a date is
	// over before the next one is due.
	maxCatchUp = runbook.Duration(12 * time.Hour)
	// minCatchUp is the time that a restart of the platform takes.
	minCatchUp = runbook.Duration(time.Minute)
)

var (
	scheduleID = rule{want: "a name of lower-case letters, digits and dashes", ok: matches(`^[a-z][a-z0-9-]{0,59}$`)}
	dates      = rule{
		want: "day, a weekday, or first, second, third, fourth or last with a weekday",
		ok:   isRule(func(p *runbook.SchedulePolicy, v string) { p.Every = v }),
	}
	hour = rule{
		want: "an hour and a minute from 00:00 to 23:59",
		ok:   isRule(func(p *runbook.SchedulePolicy, v string) { p.At = v }),
	}
	catchUp = rule{
		want: "a duration from " + minCatchUp.String() + " to " + maxCatchUp.String(),
		ok:   func(v any) bool { d := v.(runbook.Duration); return d >= minCatchUp && d <= maxCatchUp },
	}
)

func isRule(set func(*runbook.SchedulePolicy, string)) func(any) bool {
	return func(v any) bool {
		p := runbook.SchedulePolicy{Every: "day", At: "00:00", Timezone: "UTC"}
		set(&p, v.(string))
		_, err := p.Calendar()
		return err == nil
	}
}

// completeSchedules gives each schedule what it leaves out.
func completeSchedules(p *runbook.Policy) {
	for i := range p.Schedules {
		s := &p.Schedules[i]
		s.Timezone = cmp.Or(s.Timezone, p.Timezone)
		s.CatchUp = cmp.Or(s.CatchUp, defaultCatchUp)
	}
}

// consistentSchedules finds schedules that would be one: an id is a schedule's name
// and, with the date, a run's.
func consistentSchedules(file string, p runbook.Policy, at positions) []mistake {
	var out []mistake
	seen := map[string]bool{}
	for i, s := range p.Schedules {
		path := fmt.Sprintf("schedules[%d].id", i)
		if seen[s.ID] {
			out = append(out, mistake{file, at.of(path), path, s.ID + " a second time", "each id once", ""})
		}
		seen[s.ID] = true
	}
	return out
}
