package runbook

import "fmt"

// Options is what every procedure's input carries besides its own fields.
type Options struct {
	// Plan stops after the plan and shows it; nothing is changed.
	Plan bool `json:"plan,omitempty"`
	// Trigger is ui, cli, schedule, alert or parent; empty means ui.
	Trigger string `json:"trigger,omitempty"`
	// RequestedBy is who asked, as they call themselves; authority never rests on it.
	RequestedBy string `json:"requestedBy,omitempty"`
	// Held are locks that the parent procedure holds for this one.
	Held []Fence `json:"held,omitempty"`
	// Given is the policy and the stack that the parent procedure read, so that an
	// edit between parent and child changes neither.
	Given *LoadPolicyOutput `json:"given,omitempty"`
}

// Child are the options of a child procedure that goes on under what its parent
// holds and has read.
func (o Options) Child(given LoadPolicyOutput, held []Fence) Options {
	return Options{Plan: o.Plan, Trigger: TriggerParent, RequestedBy: o.RequestedBy, Held: held, Given: &given}
}

// TriggerParent is the trigger of a run that another procedure started.
const TriggerParent = "parent"

// Validate refuses a trigger that nobody knows.
func (o Options) Validate() error {
	switch o.Trigger {
	case "", "ui", "cli", "schedule", "alert", TriggerParent:
		return nil
	default:
		return fmt.Errorf("trigger: %q is none of ui, cli, schedule, alert, parent; leave it out", o.Trigger)
	}
}

// Fence is the proof that a run holds a lock: every Write carries one, and the
// gate in opsworker refuses an older token than the newest it has seen.
// Token is the lock workflow's run ID, a UUIDv7, which grows with time.
type Fence struct {
	Resource string `json:"resource"`
	Token    string `json:"token"`
}

// Fencing returns the fence; a step's input that embeds Fence is a Fenced.
func (f Fence) Fencing() Fence { return f }

// Fenced is the input of a Write step.
type Fenced interface{ Fencing() Fence }
