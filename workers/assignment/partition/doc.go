// Package partition is one partition of the universal-orchestrator: its tasks in
// memory, the matcher that gives them to agents, and the journal that makes each
// change durable before anybody hears of it (docs/design of the hot path, §6).
//
//	calls ──bounded queue──> one at a time: State decides, records gather ──> journal append
//	                                              │ next batch meanwhile            │ acknowledged
//	answers and assignments <─────────────────────┴─────────────────────────────────┘
//
// # Turns
//
// One goroutine at a time has the partition's turn. A caller that finds it free takes it
// and serves its own call and those behind it, so that an assignment is decided without
// waking anybody; what finds it taken is left to the partition's own goroutine.
//
// # State
//
// State is pure: no clock, no lock, no I/O. Each call changes it, appends the records
// that say so, and names what to tell whom. Replaying the records gives the same
// tasks; the matcher is filled once at the end, in order of arrival.
//
// # Batches
//
// One append is under way at a time; what is decided meanwhile is the next one. An
// answer and an assignment leave the partition only when every record before them has
// been acknowledged, so nobody ever acts on what a crash could take back. The first
// doubt about the journal ends the partition: everything in memory is thrown away,
// waiting callers get ErrLost, and the next owner recovers from what is durable.
//
// # Snapshots
//
// A snapshot is of the state as it stood behind one batch, and is taken while the state goes
// on: a few tasks in each turn, and a task that changes before its turn has come is encoded
// first. Chunks of it are written between appends; the last makes it the partition's snapshot
// and trims the log.
//
// # Bodies
//
// A payload or result over 4 KiB is never in the State: its records hold a digest and its
// length, and Changes name what to store and to drop in the same append as the record that
// says so. Such a body is written once and never changes. The goroutine that appends fetches
// what a batch gives to agents, before the append, and callers fetch what they read, both
// outside the turn. One that is missing while its task is kept was lost by somebody else:
// the task is not executed, but dead.
//
// # Leases
//
// An execution is held for a lease term from its assignment or the agent's last
// heartbeat that named it, by the partition's own clock, which only has to run
// evenly. A new owner grants each a fresh term. (task, attempt) is the fencing token:
// the attempt grows with each assignment, also over owners.
//
// # Bounds
//
// Calls that wait, tasks, agents, queues, distinct capability sets, and finished tasks
// that are kept are all bounded; over a bound a call is refused with a *BusyError that
// says when to try again, and nothing acknowledged is dropped. An idempotency key is
// known as long as its task is kept.
package partition
