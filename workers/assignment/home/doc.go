// Package home is where agents' streams end: a replica is the home of the agents that are
// attached to it, whichever replicas own the partitions that they work for.
//
// An agent runs so many executions at a time in all partitions together. Its home cuts that
// capacity into slots, gives each partition some, and moves them to where tasks wait for the
// agent. A partition gives an agent no more than its slots there, and tells the home in order
// what it has given and what has ended, so that the home always knows how many slots are
// free to move: of an agent's slots none is ever in two partitions.
package home
