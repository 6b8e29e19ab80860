package temporal

import (
	"context"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Schedules is the hand on Temporal's schedules; it only looks. They are written by
// workers/operations/schedules.
type Schedules struct {
	Client client.ScheduleClient
}

// Observe answers runbook.ObserveSchedules.
func (s Schedules) Observe(ctx context.Context, in runbook.SchedulesInput) (runbook.SchedulesState, error) {
	out := runbook.SchedulesState{Now: time.Now().UTC(), Schedules: []runbook.ScheduleState{}}
	for _, policy := range in.Schedules {
		calendar, err := policy.Calendar()
		if err != nil {
			return out, runbook.FailCause(runbook.Refused, err, "schedule %s", policy.ID)
		}
		state := runbook.ScheduleState{ID: policy.ID, Reach: calendar.First(out.Now).At}
		found, err := s.Client.GetHandle(ctx, policy.ID).Describe(ctx)
		switch {
		case missing(err):
		case err != nil:
			return out, classify(ctx, err, "schedule "+policy.ID)
		default:
			state.Found = true
			state.Paused, state.Note = found.Schedule.State.Paused, found.Schedule.State.Note
			instants, _ := Instants(*found.Schedule.Spec)
			state.Reach = Reach(calendar, instants, out.Now)
		}
		out.Schedules = append(out.Schedules, state)
	}
	return out, nil
}

// Reach is the first time of the rule, from now on, that is not among the instants.
func Reach(calendar runbook.Calendar, instants []time.Time, now time.Time) time.Time {
	held := map[int64]bool{}
	for _, at := range instants {
		held[at.Unix()] = true
	}
	due := calendar.First(now)
	for held[due.At.Unix()] {
		due = calendar.First(due.At)
	}
	return due.At
}
