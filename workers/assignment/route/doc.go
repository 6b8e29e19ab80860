// Package route finds the owner of a partition and asks it, again and again while the
// partition is on its way from one replica to another.
package route
