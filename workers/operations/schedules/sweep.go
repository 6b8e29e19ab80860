package schedules

import (
	"context"
	"fmt"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
	"github.com/leanvibe/hive/workflows/schedule"
)

// grace is what a firing at the very end of its window has to become a run.
const grace = 20 * time.Second

// sweep holds the dates of a schedule that are not settled yet against their runs. A
// date is settled when it had its run, or when somebody was told that it had not; it
// is then behind the mark, and never looked at again.
//
// It is judged by the rule that was in force: what the mark was set under, not what
// was written since.
func sweep(ctx context.Context, s server, e entry, m settled, now time.Time) (settled, error) {
	if m.Schedule.ID == "" {
		return settled{Schedule: e.in.Schedule, Until: e.since}, nil
	}
	calendar, err := m.Schedule.Calendar()
	if err != nil {
		return m, fmt.Errorf("schedule %s: %w", e.id, err)
	}
	replaced := rule(m.Schedule) != rule(e.in.Schedule)
	until := now
	if replaced {
		until = earliest(now, e.since)
	}
	whole := true
	for _, due := range calendar.Between(m.Until, until) {
		done, err := settle(ctx, s, e, m.Schedule, due, now, e.paused || replaced)
		if err != nil {
			return m, err
		}
		if whole = whole && done; whole {
			m.Until = due.At
		}
	}
	switch {
	case !replaced:
		m.Schedule = e.in.Schedule
	case whole:
		m = settled{Schedule: e.in.Schedule, Until: until}
	}
	return m, nil
}

// settle looks for the run of one date. A date whose window is still open waits;
// unless nothing shall run in it any more.
func settle(ctx context.Context, s server, e entry, p runbook.SchedulePolicy, due runbook.Due, now time.Time, off bool) (bool, error) {
	id := p.RunID(due.Date)
	r, found, err := s.run(ctx, id)
	if err != nil {
		return false, err
	}
	told := schedule.MissedRunInput{Schedule: p, Notify: e.in.Notify, Date: due.Date, Outcome: schedule.Skipped}
	switch {
	case !found && now.Sub(due.At) <= p.CatchUp.D()+grace:
		return off, nil
	case !found:
		told.Outcome = schedule.Missed
		told.Why = fmt.Sprintf("it was due at %s and could begin within %s, and did not: opsworker or Temporal was away",
			due.At.UTC().Format(time.RFC3339), p.CatchUp)
	case r.open:
		return false, nil
	case r.outcome == runbook.RefusedRun:
		told.Why = "its run " + id + " was refused: " + s.reason(ctx, id)
	case r.outcome == "" && r.status != "Completed":
		told.Why = fmt.Sprintf("its run %s ended (%s) before it could say how: %s", id, r.status, s.reason(ctx, id))
	default:
		return true, nil // it ran, and tells of its own failures
	}
	return true, s.miss(ctx, told)
}
