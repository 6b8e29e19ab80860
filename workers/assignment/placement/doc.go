// Package placement decides which replica owns which partition, and takes and hands over
// this replica's.
//
// Each replica says several times a term, in Redis, that it lives, and hears in the same
// call who else does. From that list and from who holds what, Plan says who should: all
// come to the same answer, and where they do not for a moment, the journal's lease lets one
// of them have the partition. A replica that should have a partition takes it over as soon
// as its lease is free; one that has a partition which is another's hands it over in order.
package placement
