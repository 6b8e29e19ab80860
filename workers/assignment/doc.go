// Package assignment is the universal-orchestrator: it takes tasks over HTTP and
// hands each to one attached agent at a time until it is completed exactly once.
// docs/universal-orchestrator.md is its page.
//
//	submitter ──> any replica ──route──> owner of the partition ──> journal in Redis
//	                                        │ durable
//	agent <── stream of its home <──seat────┘
//
// # Rooms
//
//   - matcher decides which agent gets which task; codec and journal make records
//     durable under one owner at a time; partition is the two together.
//   - placement says which replica owns which partition; route finds the owner and
//     asks it, through peer where it is another replica.
//   - home holds the agents that are attached here and cuts their capacity into slots
//     for the partitions.
//   - archive takes finished tasks to PostgreSQL and into hourly files.
//   - this package: the calls, for machines and for curl, and what they refuse.
//
// # A task
//
//	submit ──> waiting ──assigned──> running ──complete──> completed
//	              ^ │                   │
//	    redrive   │ ├─deadline─┐        ├─ failed, or lease ran out; attempts left ──> waiting
//	       │      │ │          v        ├─ no attempt left, or a final failure ──────> dead
//	     dead ────┘ │        dead       └─ release (costs no attempt) ───────────────> waiting
//	                └─cancel──> cancelled
//
// (task, attempt) is the fencing token: the attempt grows with every assignment, and only
// the agent and attempt that the task records may renew, complete or release it. An agent
// that falls silent for a lease term gets nothing more and loses what it held.
//
// # Streams
//
// A stream that ends takes its agents off the partitions; their leases go on. What was
// assigned and could not be sent is given back at once. A replica that drains ends its
// streams behind what was assigned, hands its partitions over, and then stops.
//
// # Errors
//
// REST and Connect answer the same conditions; nothing was stored unless said:
//
//	400 invalid_argument    fields[] names each wrong field
//	403 permission_denied   the token does not cover this agent
//	404 not_found           no such task
//	409 already_exists      the idempotency key names a task with another body
//	409 failed_precondition the task is not in a state for this: cancel, redrive
//	413 payload_too_large   payload over 256 KiB or body over its limit
//	503 unavailable         a bound is met, a partition is on its way to another replica, or
//	                        draining; Retry-After says when. What may have been done says so:
//	                        send it again with the same idempotency key
package assignment
