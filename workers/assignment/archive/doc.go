// Package archive takes finished tasks from the partitions to where they are kept:
// rows in PostgreSQL, and hourly segments in a directory.
//
//	partition ──Unarchived──> Loop ──> Store (finished_tasks) ──> Segments (*.ndjson.zst)
//	    ^                                                            │
//	    └────────────────────────── Archived ────────────────────────┘
//
// A partition hears that tasks are archived only after both have them, so a crash
// anywhere offers them again: a row written twice is one row, and a segment may hold a
// task twice. A task that is driven again after its end ends a second time: the row is
// of its newest end, the segments have both.
//
// What PostgreSQL refuses for its data is logged, counted and passed over (the
// segments still have it): one odd task must not keep all others waiting.
package archive
