package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

// LeastReach is how far ahead the calendars must reach for a check to be content;
// opsworker keeps them at 60 days and more.
const LeastReach = 14 * 24 * time.Hour

// JudgeReach is the verdict of a readiness check on the schedules, in words that name
// each schedule that is not as it should be. It warns and never bars: the stack itself
// is no worse for it. err is the failure to look, which is no data.
func JudgeReach(policies []runbook.SchedulePolicy, state runbook.SchedulesState, err error) (runbook.Severity, string) {
	if err != nil {
		return runbook.NoData, runbook.Reason(err)
	}
	if len(policies) == 0 {
		return runbook.Good, "the policy has no schedules: nothing runs by itself"
	}
	found := map[string]runbook.ScheduleState{}
	for _, s := range state.Schedules {
		found[s.ID] = s
	}
	var said []string
	for _, p := range policies {
		s, asked := found[p.ID]
		reach := s.Reach.Sub(state.Now)
		switch {
		case !asked:
			return runbook.NoData, "schedule " + p.ID + " was not looked at"
		case !s.Found:
			said = append(said, p.ID+" is not in Temporal yet: opsworker writes it within a minute when it runs, `hive up` at once")
		case s.Paused:
			said = append(said, fmt.Sprintf("%s is paused (%s): `hive schedules resume %s` lets it run again", p.ID, or(s.Note, "no note"), p.ID))
		case reach < LeastReach:
			said = append(said, fmt.Sprintf("%s has calendars for %.0f days only, until %s: opsworker has not renewed them; see its log",
				p.ID, max(0, reach.Hours()/24), s.Reach.UTC().Format(time.RFC3339)))
		}
	}
	if len(said) > 0 {
		return runbook.Warning, strings.Join(said, "; ")
	}
	return runbook.Good, fmt.Sprintf("%d schedules, calendars for %.0f days and more", len(policies), shortest(state).Hours()/24)
}

func shortest(state runbook.SchedulesState) time.Duration {
	least := time.Duration(0)
	for i, s := range state.Schedules {
		if reach := s.Reach.Sub(state.Now); i == 0 || reach < least {
			least = reach
		}
	}
	return least
}

func or(s, fallback string) string {
	if s != "" {
		return s
	}
	return fallback
}
