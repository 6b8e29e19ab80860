// Package assignment is the universal-orchestrator: it takes tasks over HTTP and
// hands each to one attached agent at a time until it is completed exactly once.
//
// # State
//
// There is one partition. All task state, idempotency keys and per-queue counters
// live in Redis Cluster under one hash tag, {p0}; every change is one Lua script
// (scripts/), so it happens wholly or not at all and in one order. Both replicas
// serve every call. A replica keeps nothing that matters: it knows the agents
// whose streams it holds and claims work for them.
//
// A task is waiting, running, completed or dead:
//
//	submit ──> waiting ──claim──> running ──complete──> completed
//	              ^ │                │
//	              │ └─deadline─┐     ├─ failed, or lease ran out; attempts left ──> waiting
//	              │            v     ├─ no attempt left, or a final failure ──────> dead
//	              └─ release ─ dead  └─ release (costs no attempt) ───────────────> waiting
//
// (task, attempt) is the fencing token: the attempt grows with every claim, and
// only the agent and attempt that the task records may renew, complete or
// release it. Lease and deadline are judged by Redis time alone. An agent that
// falls silent for a lease term gets nothing more and loses what it held.
//
// # Durability
//
// An acknowledged change is in the master's memory and append-only file
// (appendfsync everysec) and on its way to the replica: a planned failover loses
// nothing; the crash of a node may lose up to the last second.
//
// # Archive
//
// Finished tasks go to finished_tasks in leanvibe_production in batches, behind
// the path: PostgreSQL being away delays them and nothing else. An archived task
// stays in Redis for one hour, with its idempotency key; after that GET answers
// from PostgreSQL and the key may be used again. While Redis is nearly full that hour
// is shorter: from 60 % of maxmemory the bodies of the oldest archived tasks go (GET
// asks PostgreSQL), from 80 % also their idempotency keys, and when it is full submits
// are refused (503, retryable) while all that was accepted is finished and archived.
//
// # Metrics
//
//	leanvibe_task_assignment_duration_ms    histogram; from the instant when the task waited and the
//	                                        agent had a free slot (the later of both) to the claim, Redis time
//	leanvibe_tasks_total{event}             counter of this replica's calls; events submitted, duplicate,
//	                                        refused, started, completed, failed, late_refused, released,
//	                                        lost, expired, archived, evicted
//	leanvibe_task_queue_depth{state}        gauge; tasks waiting and running in all queues
//	leanvibe_agents_attached                gauge; streams that this replica holds
//	leanvibe_archive_backlog                gauge; finished tasks not yet in PostgreSQL
//	leanvibe_redis_duration_seconds{script} histogram; one script call, with its retries
//	leanvibe_errors_total{kind}             kinds redis, archive
//
// # Errors
//
// REST and Connect answer the same conditions; nothing was stored unless said:
//
//	400 invalid_argument    fields[] names each wrong field
//	404 not_found           no such task
//	409 already_exists      the idempotency key names a task with another body
//	413 payload_too_large   payload over 256 KiB or body over its limit
//	503 unavailable         Redis away, too many waiting tasks, or draining; Retry-After says when
package assignment
