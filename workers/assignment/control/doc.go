// Package control answers the steps that drain, resume, snapshot and rebalance the
// universal-orchestrator: an activity worker beside the hot path, on a queue of its own.
//
// Every replica that is told of a Temporal server polls, and any of them answers, for the
// replica that a step names: itself, or another one through the replicas' own port. With
// Temporal away it tries again behind the path, which does not hear of it.
//
// Each step looks first and changes only what is not so yet, so a second attempt, or a
// second replica that takes over from one that died, finds what the first has done.
package control
