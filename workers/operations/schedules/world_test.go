package schedules

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
	"github.com/leanvibe/hive/workflows/schedule"
)

// retention is how long the world's Temporal remembers what has ended.
const retention = 30 * day

// world is Temporal's scheduler and opsworker's part of it on a virtual clock: it
// fires the instants of the calendars it was given, catches up after it was away as
// Temporal does, and has ScheduledRuns decided by the product's own code.
type world struct {
	t         *testing.T
	now       time.Time
	schedules map[string]*booked
	runs      map[string]*ran
	missed    map[string]time.Time // by workflow ID, when told
	lag       map[string]bool      // schedules that a list does not show yet

	// away: Temporal answers nobody. idle: no worker takes what it starts.
	away, idle bool
	queue      []firing
	ticked     time.Time

	begun   map[string][]time.Time // every start of a procedure, by workflow ID
	notices map[string]int         // every notice, by schedule and date
	writes  int
	// end says how a run ends and how long it takes.
	end func() (runbook.Outcome, time.Duration)
}

type booked struct {
	entry
	until time.Time // what was due until then has been fired, or let go
}

type ran struct {
	outcome runbook.Outcome
	over    time.Time
}

type firing struct {
	in      schedule.ScheduledRunInput
	at, end time.Time
}

var errAway = errors.New("away")

func newWorld(t *testing.T, now time.Time) *world {
	return &world{
		t: t, now: now, ticked: now, schedules: map[string]*booked{}, runs: map[string]*ran{}, missed: map[string]time.Time{}, lag: map[string]bool{},
		begun: map[string][]time.Time{}, notices: map[string]int{},
		end: func() (runbook.Outcome, time.Duration) { return runbook.Succeeded, time.Minute },
	}
}

func (w *world) answer() error {
	if w.away {
		return errAway
	}
	return nil
}

func (w *world) list(context.Context) ([]string, error) {
	var ids []string
	for id, b := range w.schedules {
		if b.ours && !w.lag[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, w.answer()
}

func (w *world) find(_ context.Context, id string) (entry, bool, error) {
	b, ok := w.schedules[id]
	if !ok {
		return entry{}, false, w.answer()
	}
	return b.entry, true, w.answer()
}

func (w *world) create(_ context.Context, want shape, instants []time.Time) error {
	w.writes++
	id := want.in.Schedule.ID
	w.schedules[id] = &booked{until: w.now, entry: entry{id: id, ours: true, shape: want, instants: instants, plain: true, made: w.now, since: w.now}}
	return w.answer()
}

func (w *world) update(_ context.Context, want shape, instants []time.Time) error {
	w.writes++
	b := w.schedules[want.in.Schedule.ID]
	b.shape, b.instants, b.plain, b.since = want, instants, true, w.now
	b.until = w.now // Temporal lets go what was due before a change
	return w.answer()
}

func (w *world) remove(_ context.Context, id string) error {
	w.writes++
	delete(w.schedules, id)
	return w.answer()
}

func (w *world) run(_ context.Context, id string) (run, bool, error) {
	if at, ok := w.missed[id]; ok && w.now.Sub(at) < retention {
		return run{status: "Completed"}, true, w.answer()
	}
	r, ok := w.runs[id]
	if !ok || w.now.Sub(r.over) >= retention {
		return run{}, false, w.answer()
	}
	if r.over.After(w.now) {
		return run{open: true, status: "Running"}, true, w.answer()
	}
	return run{outcome: r.outcome, status: "Completed"}, true, w.answer()
}

func (w *world) reason(context.Context, string) string { return "somebody holds the lock" }

func (w *world) miss(_ context.Context, in schedule.MissedRunInput) error {
	require.NoError(w.t, in.Validate())
	id := schedule.MissedRun.ID(in)
	if at, told := w.missed[id]; !told || w.now.Sub(at) >= retention {
		w.missed[id] = w.now
		w.notices[in.Schedule.RunID(in.Date)]++
	}
	return w.answer()
}

// tick has Temporal fire what is due, and the worker take it.
func (w *world) tick() {
	if w.away || w.idle { // what is at work stands still
		for _, r := range w.runs {
			if r.over.After(w.ticked) {
				r.over = r.over.Add(w.now.Sub(w.ticked))
			}
		}
	}
	w.ticked = w.now
	if w.away {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(w.schedules)) {
		b := w.schedules[id]
		for _, at := range b.instants {
			if at.After(b.until) && !at.After(w.now) && !b.paused && w.now.Sub(at) <= b.catchUp && !w.queued(id) {
				w.queue = append(w.queue, firing{b.in, at, w.now.Add(b.timeout)})
			}
		}
		b.until = w.now
	}
	waiting := w.queue
	w.queue = nil
	for _, f := range waiting {
		switch {
		case w.now.After(f.end):
		case w.idle:
			w.queue = append(w.queue, f)
		default:
			w.take(f)
		}
	}
}

// queued is the overlap policy: a firing that still waits keeps the next one back.
func (w *world) queued(id string) bool {
	return slices.ContainsFunc(w.queue, func(f firing) bool { return f.in.Schedule.ID == id && !w.now.After(f.end) })
}

func (w *world) take(f firing) {
	out, err := schedule.Decide(f.in.Schedule, f.at, w.now)
	require.NoError(w.t, err)
	require.NotEmpty(w.t, out.Date, "a calendar fired at an instant that is no date's: %s", f.at)
	if out.Outcome == schedule.Missed {
		return
	}
	if _, had := w.runs[out.Workflow]; had {
		w.notices[out.Workflow]++
		return
	}
	outcome, took := w.end()
	w.runs[out.Workflow] = &ran{outcome, w.now.Add(took)}
	w.begun[out.Workflow] = append(w.begun[out.Workflow], w.now)
}

// next is the next instant of any calendar.
func (w *world) next() time.Time {
	next := w.now.Add(day)
	for _, b := range w.schedules {
		at, _ := slices.BinarySearchFunc(b.instants, w.now.Add(1), time.Time.Compare)
		if at < len(b.instants) {
			next = earliest(next, b.instants[at])
		}
	}
	return next
}

// keeperOf is opsworker's keeper as it starts.
func (w *world) keeperOf(dir string, policy *runbook.Policy) *keeper {
	return &keeper{server: w, Keeper: Keeper{
		Policy: func(context.Context) (runbook.Policy, error) { return *policy, nil },
		Procedures: []Procedure{
			{Name: "WeeklyMaintenance", Check: func(json.RawMessage) error { return nil }},
			{Name: "ReadinessCheck", Check: func(json.RawMessage) error { return nil }},
		},
		ProjectDir: dir, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}}
}

func schedulesOf(zone string, catchUp time.Duration, rules ...[3]string) []runbook.SchedulePolicy {
	var out []runbook.SchedulePolicy
	for _, r := range rules {
		out = append(out, runbook.SchedulePolicy{
			ID: r[0], Procedure: "ReadinessCheck", Every: r[1], At: r[2], Timezone: zone, CatchUp: runbook.Duration(catchUp),
		})
	}
	return out
}
