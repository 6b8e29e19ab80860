// Package schedules keeps Temporal's schedules to what runbook.yaml says, and people
// told of what did not run.
//
//	reconcile.go  create, update and delete schedules of ours; never touch another's
//	sweep.go      hold each nominal date against the run it should have had
//	marks.go      how far the sweep has come, across restarts
//	keeper.go     both of them, in opsworker, twice a minute
//	read.go       what `hive schedules` shows and does
//	server.go     Temporal as the others need it
//
// A schedule is written as the instants of its rule for the next three months, not as
// the rule: Temporal's own rules run a date twice, or not at all, where clocks change.
// So it has to be renewed, which the keeper does long before its end; until then a
// schedule fires with nobody's help. What it starts is workflows/schedule.
package schedules
