package runbook

import "time"

// SchedulePolicy is one entry of the policy's schedules: which procedure runs when.
type SchedulePolicy struct {
	// ID names the schedule; with the nominal date it is the run's workflow ID, such
	// as "weekly-maintenance:2026-11-29".
	ID string `json:"id"`
	// Procedure is the workflow type.
	Procedure string `json:"procedure"`
	// Every is "day", a weekday ("sunday"), or a weekday of the month
	// ("first sunday", "last friday").
	Every string `json:"every"`
	// At is the hour on the zone's clocks, "02:00".
	At string `json:"at"`
	// Timezone is an IANA name; default the policy's.
	Timezone string `json:"timezone"`
	// CatchUp is how late a run may begin (default 1 h); later, the date is missed.
	CatchUp Duration `json:"catchUp"`
	// Input is the procedure's input, a JSON object; empty means {}.
	Input string `json:"input,omitempty"`
}

// RunID is the workflow ID of the run of a nominal date.
func (p SchedulePolicy) RunID(date string) string { return p.ID + ":" + date }

// When says the rule in words.
func (p SchedulePolicy) When() string { return "every " + p.Every + " at " + p.At + " " + p.Timezone }

// SchedulesInput names the schedules that there should be.
type SchedulesInput struct {
	Schedules []SchedulePolicy `json:"schedules"`
}

// ScheduleState is one schedule as Temporal has it.
type ScheduleState struct {
	ID    string `json:"id"`
	Found bool   `json:"found"`
	// Paused schedules run nothing until they are resumed; Note says who and why.
	Paused bool   `json:"paused,omitempty"`
	Note   string `json:"note,omitempty"`
	// Reach is the first time of the policy's rule that no calendar holds: until
	// then Temporal starts runs with nobody's help.
	Reach time.Time `json:"reach"`
}

// SchedulesState is every schedule that was asked for, in that order.
type SchedulesState struct {
	// Now is when they were looked at.
	Now       time.Time       `json:"now"`
	Schedules []ScheduleState `json:"schedules"`
}

// ObserveSchedules asks Temporal how far each schedule reaches.
var ObserveSchedules = Step[SchedulesInput, SchedulesState]{
	Name: "schedules.Observe", Timeout: 5 * time.Second, Total: 45 * time.Second, Attempts: 5,
	Summary: func(SchedulesInput) string { return "look at the schedules" },
}
