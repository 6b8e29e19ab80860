// Command peers measures durable task queues and message hubs beside ours: in one
// run, on one machine, in the same process split, at the same durability, with
// the same tasks. Its module is its own, so that none of its servers and
// libraries reaches the product.
//
// # What is alike
//
// Servers are processes of their own; submitters and workers share one client
// process with one monotonic clock. A task is 128 printable bytes with its number
// and the instant at which it was due. It is published in batches of 500, or what
// the contender's API takes, and acknowledged by itself. At most 20,000 are
// submitted and not acknowledged. Only one contender runs at a time.
//
//   - everysec: Redis appendfsync everysec, JetStream sync interval 1 s,
//     PostgreSQL synchronous_commit off with the WAL writer every 333 ms (it may
//     lose three times that).
//   - always: Redis appendfsync always, JetStream sync always, PostgreSQL
//     synchronous_commit on.
//
// # What is measured
//
//   - throughput: submitters go as fast as the window lets them; all tasks of the
//     run by the time from the first submit to the last acknowledgement.
//   - start: from the instant a task was due to its begin at a worker, at 2,000
//     a second and at half of the slowest rival that is not River (messages: half
//     of the contender's own throughput). Due means the clock's tick, every 5 ms:
//     who falls behind cannot hide it.
//
// A figure is the median over the runs; a warm-up goes before. After each run the
// books of both sides are compared task by task, and the server is asked what it
// still holds: a task lost, acknowledged twice or left makes "no data" of the row.
//
// # Ours
//
// Orchestrator and hub are built from this checkout and run on a Redis Cluster of
// one node. They do more than the peers (matching, leases, results, an archive),
// and no figure is corrected for that.
package main
