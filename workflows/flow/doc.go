// Package flow is what every procedure shares, so that a procedure's body reads
// like the runbook page it replaces: the frame of a run (Conduct), steps that are
// recorded as they happen (Do), the plan, the undo, the locks, the silence, the
// probe through the proxy, live progress and the report at the end.
//
// A run has one shape: observe, decide, take the locks, act step by step, and
// where an act fails or somebody asks to stop, undo in reverse order. Acts are not
// interrupted: an abort is obeyed at the next safe point, which is between steps.
package flow
