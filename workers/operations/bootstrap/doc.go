// Package bootstrap is what `hive up` and `hive down` do: it makes everything
// that the stack and its platform stand on, in an order in which each part finds
// what it needs, and it takes away exactly what it made. It is the only creator:
// what is right already is left alone, so a second call goes on where a first
// one stopped, and one that finds everything done takes seconds.
package bootstrap
