package matcher

import (
	"syscall"
	"unsafe"
)

// hugePage is the size of a large page on the machines that have them; a table
// begins and ends on ordinary pages, so its ends keep those.
const hugePage = 2 << 20

// adviseHuge asks for large pages under the whole capacity of table: each step goes
// to places of it that nobody visited lately, and with pages of 4 KiB their addresses
// are translated in memory as well, twice on a virtual machine. It is advice; where
// the kernel has no such pages nothing changes but the time.
func adviseHuge[T any](table []T) {
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(table)))
	skip := -begin % hugePage
	size := uintptr(cap(table)) * unsafe.Sizeof(*new(T))
	if size < skip+hugePage {
		return
	}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(table))), size)
	_ = syscall.Madvise(bytes[skip:skip+(size-skip)/hugePage*hugePage], syscall.MADV_HUGEPAGE)
}
