package schedules

import (
	"context"
	"slices"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/activities/temporal"
	"github.com/leanvibe/hive/workflows/runbook"
	"github.com/leanvibe/hive/workflows/schedule"
)

// Schedule is a schedule as an operator sees it.
type Schedule struct {
	runbook.SchedulePolicy
	Paused bool   `json:"paused"`
	Note   string `json:"note,omitempty"`
	// Reach is until when Temporal starts runs with nobody's help.
	Reach time.Time `json:"reach"`
	// Next are the dates to come, in the zone's clocks.
	Next []runbook.Due `json:"next"`
	// Last are the dates behind, latest first.
	Last []Past `json:"last"`
}

// Past is a date that was due.
type Past struct {
	runbook.Due
	// Workflow is the run, Outcome how it ended: a run's own outcome, "running",
	// "due" (its window is open), "missed", or Temporal's word where it left none.
	Workflow string `json:"workflow"`
	Outcome  string `json:"outcome"`
}

const (
	shownNext = 3
	shownLast = 3
	// pastMax is how long Temporal keeps runs as `hive up` starts it.
	pastMax = 30 * day
)

// Read lists the schedules of ours, by id.
func Read(ctx context.Context, c client.Client) ([]Schedule, error) {
	s := temporalServer{c}
	ids, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	out := []Schedule{}
	for _, id := range ids {
		e, found, err := s.find(ctx, id)
		if err != nil {
			return nil, err
		}
		if found && e.ours {
			one, err := show(ctx, s, e, time.Now())
			if err != nil {
				return nil, err
			}
			out = append(out, one)
		}
	}
	return out, nil
}

func show(ctx context.Context, s server, e entry, now time.Time) (Schedule, error) {
	p := e.in.Schedule
	out := Schedule{SchedulePolicy: p, Paused: e.paused, Note: e.note, Next: []runbook.Due{}, Last: []Past{}}
	out.ID = e.id
	calendar, err := p.Calendar()
	if err != nil {
		return out, runbook.FailCause(runbook.Corrupt, err, "schedule %s was written by somebody else; opsworker puts it back within a minute", e.id)
	}
	out.Reach = calendar.Local(temporal.Reach(calendar, e.instants, now))
	for _, at := range e.instants {
		if due, ok := calendar.Nominal(at); ok && at.After(now) && len(out.Next) < shownNext {
			out.Next = append(out.Next, runbook.Due{Date: due.Date, At: calendar.Local(at)})
		}
	}
	from := e.made
	if limit := now.Add(-pastMax); from.Before(limit) {
		from = limit
	}
	behind := calendar.Between(from, now)
	slices.Reverse(behind)
	for _, due := range behind[:min(len(behind), shownLast)] {
		outcome, err := outcomeOf(ctx, s, p, due, now)
		if err != nil {
			return out, err
		}
		out.Last = append(out.Last, Past{runbook.Due{Date: due.Date, At: calendar.Local(due.At)}, p.RunID(due.Date), outcome})
	}
	return out, nil
}

func outcomeOf(ctx context.Context, s server, p runbook.SchedulePolicy, due runbook.Due, now time.Time) (string, error) {
	r, found, err := s.run(ctx, p.RunID(due.Date))
	switch {
	case err != nil:
		return "", err
	case found && r.open:
		return "running", nil
	case found && r.outcome != "":
		return string(r.outcome), nil
	case found:
		return r.status, nil
	}
	_, told, err := s.run(ctx, schedule.MissedID(p, due.Date))
	switch {
	case err != nil:
		return "", err
	case told:
		return schedule.Missed, nil
	case now.Sub(due.At) <= p.CatchUp.D()+grace:
		return "due", nil
	default:
		return "not run", nil
	}
}

// Find is one schedule of ours by its id.
func Find(ctx context.Context, c client.Client, id string) (Schedule, error) {
	s := temporalServer{c}
	e, err := own(ctx, s, id)
	if err != nil {
		return Schedule{}, err
	}
	return show(ctx, s, e, time.Now())
}

// Pause keeps a schedule from starting anything. False means that it was paused
// already, and is as it was.
func Pause(ctx context.Context, c client.Client, id, note string) (bool, error) {
	e, err := own(ctx, temporalServer{c}, id)
	if err != nil || e.paused {
		return false, err
	}
	return true, away(c.ScheduleClient().GetHandle(ctx, id).Pause(ctx, client.SchedulePauseOptions{Note: note}))
}

// Resume lets a schedule start its dates again, from the next one on. False means
// that it was not paused.
func Resume(ctx context.Context, c client.Client, id, note string) (bool, error) {
	e, err := own(ctx, temporalServer{c}, id)
	if err != nil || !e.paused {
		return false, err
	}
	return true, away(c.ScheduleClient().GetHandle(ctx, id).Unpause(ctx, client.ScheduleUnpauseOptions{Note: note}))
}

// own finds a schedule and refuses one that is not ours.
func own(ctx context.Context, s server, id string) (entry, error) {
	e, found, err := s.find(ctx, id)
	switch {
	case err != nil:
		return e, err
	case !found:
		return e, runbook.Fail(runbook.Missing, "no schedule %q: see which there are with `hive schedules list`; opsworker makes them from runbook.yaml", id)
	case !e.ours:
		return e, runbook.Fail(runbook.Refused, "schedule %s was not made by hive: change it with whatever made it", id)
	default:
		return e, nil
	}
}
