// Package matcher decides which agent gets which task. It is pure: no clock, no
// lock, no I/O, and no allocation once its tables have grown. One goroutine owns
// a Matcher; time comes in as the arrival instant of a task.
//
// # Rule
//
// A task goes to an agent that has every capability it needs and a free slot:
// the least loaded one, and among equals the one whose load changed longest ago.
// When a slot becomes free, its agent takes the best waiting task:
//
//  1. the queue whose turn it is among those with a task this agent can do;
//  2. in that queue the smallest key, arrival − priority × Aging.
//
// The key never changes while a task waits, so aging costs nothing: a task of
// priority 0 is overtaken by one of priority 9 only if that arrived less than
// 9 × Aging later.
//
// # Shapes
//
// A shape is a distinct capability set. Agents with the same set, and tasks with
// the same need, are interchangeable, so what is searched is shapes: each agent
// shape knows which needs it satisfies, as a bitset and as a list, each need which
// agent shapes satisfy it. All are computed when a shape first appears. There are at
// most MaxShapes of either; a shape that nobody uses makes room for a new one.
//
// Agents of a shape wait in one first-in-first-out list per load, tasks of a
// (queue, need) in one per priority; both are ordered by construction. So an
// assignment compares a candidate per shape, and nothing in it grows with the
// number of agents or tasks.
//
// # Memory
//
// With a hundred thousand agents and a million tasks nearly each record that a
// completion touches is a trip to memory, and those trips are its time. So records
// are small and aligned, no choice reads a task that it does not take, what a choice
// scans is dense, New asks the kernel for large pages, and Prefetch lets the trips of
// a batch overlap.
//
// # Fair queues
//
// Each agent shape goes round the queues and gives each its weight in tasks per
// round. This is deficit round robin (Shreedhar and Varghese, "Efficient Fair
// Queuing using Deficit Round Robin", SIGCOMM 1995) with every task at cost one,
// where the deficit is simply what is left of the turn. A queue without a
// suitable task forfeits its turn. Virtual-time schemes (WFQ, start-time fair
// queuing) were not taken: with agents that can serve only some queues, a queue
// that could not be served gains credit without bound and one served by agents
// of its own runs up debt on the others. A turn per agent shape has neither.
//
// # Nothing starves
//
// While slots of some agent shape keep becoming free, each queue with a task for
// it is served within one round, and in its queue only finitely many tasks can
// ever have a smaller key.
//
// # States
//
//	Submit ──> waiting ──assigned──> running ──Finish──> gone
//	              ^ │                   │
//	              │ └──Cancel──> gone   │
//	              └──────Return─────────┘
package matcher
