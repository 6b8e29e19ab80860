// Package peer lets one replica ask the partitions of another: Server answers, Owner asks.
package peer
