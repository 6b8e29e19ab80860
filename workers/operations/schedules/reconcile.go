package schedules

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/temporal"

	"github.com/leanvibe/hive/activities/temporal"
	"github.com/leanvibe/hive/workflows/runbook"
	"github.com/leanvibe/hive/workflows/schedule"
)

const (
	day = 24 * time.Hour
	// horizon is how far ahead calendars are written.
	horizon = 92 * day
	// renewBelow leaves them alone while they reach further: each change is an event
	// in Temporal.
	renewBelow = 75 * day
	// leastReach is what they always reach, whatever else is going on.
	leastReach = 60 * day
)

// Procedure is a procedure that a schedule may name.
type Procedure struct {
	// Name is the workflow type.
	Name string
	// Check refuses an input that the procedure would refuse.
	Check func(input json.RawMessage) error
}

// Of makes a Procedure of a typed one.
func Of[In runbook.Validator, Out any](p runbook.Procedure[In, Out]) Procedure {
	return Procedure{Name: p.Name, Check: func(input json.RawMessage) error {
		var in In
		decoder := json.NewDecoder(bytes.NewReader(input))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&in); err != nil {
			return fmt.Errorf("%w; an input that acts: %s", err, cmp.Or(p.Example, "{}"))
		}
		return in.Validate()
	}}
}

// Change is something that was done to a schedule.
type Change struct {
	Schedule string `json:"schedule"`
	What     string `json:"what"`
}

// Reconcile makes Temporal's schedules what the policy says: it creates, updates and
// deletes those that bear our mark and touches no other. Nothing to do is nothing
// done. A schedule that cannot be written does not keep the others from it; the error
// names each.
func Reconcile(ctx context.Context, c client.Client, policy runbook.Policy, known []Procedure) ([]Change, error) {
	return reconcile(ctx, temporalServer{c}, policy, known, time.Now())
}

func reconcile(ctx context.Context, s server, policy runbook.Policy, known []Procedure, now time.Time) ([]Change, error) {
	var changes []Change
	var failed []error
	named := map[string]bool{}
	for _, p := range policy.Schedules {
		named[p.ID] = true
		what, err := write(ctx, s, schedule.ScheduledRunInput{Schedule: p, Notify: policy.Notify}, known, now)
		if err != nil {
			failed = append(failed, err)
		} else if what != "" {
			changes = append(changes, Change{p.ID, what})
		}
	}
	ids, err := s.list(ctx)
	if err != nil {
		return changes, errors.Join(append(failed, err)...)
	}
	for _, id := range ids {
		if named[id] {
			continue
		}
		// A list lags; the schedule itself does not.
		e, found, err := s.find(ctx, id)
		if err == nil && found && e.ours {
			if err = s.remove(ctx, id); err == nil {
				changes = append(changes, Change{id, "deleted: runbook.yaml no longer names it"})
			}
		}
		failed = append(failed, err)
	}
	return changes, errors.Join(failed...)
}

// write brings one schedule to what it should be and says what it did.
func write(ctx context.Context, s server, in schedule.ScheduledRunInput, known []Procedure, now time.Time) (string, error) {
	p := in.Schedule
	if err := check(p, known); err != nil {
		return "", err
	}
	calendar, err := p.Calendar()
	if err != nil {
		return "", runbook.FailCause(runbook.Refused, err, "schedule %s", p.ID)
	}
	want := shapeOf(in)
	instants := func() []time.Time { return times(calendar.Between(now, now.Add(horizon))) }
	e, found, err := s.find(ctx, p.ID)
	switch {
	case err != nil:
		return "", err
	case !found:
		err := s.create(ctx, want, instants())
		if errors.Is(err, sdk.ErrScheduleAlreadyRunning) {
			return "", nil // another reconciles too; the next look compares
		}
		return "created: " + p.When(), err
	case !e.ours:
		return "", runbook.Fail(runbook.Refused,
			"schedule %s exists and was not made by hive, so it is left alone: give the schedule in runbook.yaml another id, or delete that one in Temporal", p.ID)
	}
	why := differs(e, want, calendar, now)
	if why == "" {
		return "", nil
	}
	return "updated: " + why, s.update(ctx, want, instants())
}

// check refuses what Temporal would take and every run would then be refused for.
func check(p runbook.SchedulePolicy, known []Procedure) error {
	at := slices.IndexFunc(known, func(k Procedure) bool { return k.Name == p.Procedure })
	if at < 0 {
		names := make([]string, len(known))
		for i, k := range known {
			names[i] = k.Name
		}
		return runbook.Fail(runbook.Refused, "schedule %s: there is no procedure %s; expected one of %q", p.ID, p.Procedure, names)
	}
	if err := known[at].Check(json.RawMessage(cmp.Or(p.Input, "{}"))); err != nil {
		return runbook.FailCause(runbook.Refused, err, "schedule %s: input of %s", p.ID, p.Procedure)
	}
	return nil
}

// differs says why the schedule has to be written again, or nothing.
func differs(e entry, want shape, calendar runbook.Calendar, now time.Time) string {
	if e.shape != want {
		return "it said something else than runbook.yaml"
	}
	ahead := slices.DeleteFunc(slices.Clone(e.instants), func(at time.Time) bool { return !at.After(now) })
	last := now
	if len(ahead) > 0 {
		last = ahead[len(ahead)-1]
	}
	if !e.plain || !slices.EqualFunc(ahead, times(calendar.Between(now, last)), time.Time.Equal) {
		return "its calendars were not those of its rule"
	}
	reach := temporal.Reach(calendar, ahead, now).Sub(now)
	// Temporal drops what was due before a change, also what it still had to catch up
	// with: a renewal that can wait does.
	waiting := len(calendar.Between(now.Add(-want.catchUp-grace), now)) > 0
	if reach >= renewBelow || reach >= leastReach && waiting {
		return ""
	}
	return fmt.Sprintf("renewed for the next %.0f days", horizon.Hours()/24)
}

func times(due []runbook.Due) []time.Time {
	out := make([]time.Time, len(due))
	for i, d := range due {
		out[i] = d.At
	}
	return out
}
