// Package wire turns what a partition takes and answers into protobuf and back, for the
// public calls and for those between replicas.
package wire
