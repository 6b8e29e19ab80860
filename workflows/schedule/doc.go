// Package schedule holds the two thin workflows between Temporal's schedules and the
// procedures: ScheduledRun turns the instant at which a schedule fires into the
// nominal date and starts the procedure for that date, once; MissedRun tells people
// of a date that had no run.
//
// They are no chapter of the runbook and know none: a schedule names its procedure.
// They are workflows because Temporal starts the first and promises to finish the
// second. What is due when is runbook.Calendar; who writes the schedules and looks
// for missed dates is workers/operations/schedules.
package schedule
