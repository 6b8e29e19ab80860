//go:build !linux

package matcher

// adviseHuge does nothing: only Linux is told.
func adviseHuge[T any]([]T) {}
