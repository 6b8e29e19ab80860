package process

import (
	"context"
	"os"
	"runtime/debug"
	heap "runtime/metrics"
	"time"
)

const (
	// collectEvery is how often the garbage of a process is collected, about.
	collectEvery = time.Second
	// garbageLeast is the garbage that may gather in any case, in bytes.
	garbageLeast = 8 << 20
	// percentMost is Go's own GOGC.
	percentMost = 100
	// freeLeast is the free memory, in bytes, that is not worth giving back, restFor how long
	// more must have been there, in collectEvery, and restAllocations for how many times what
	// is allocated meanwhile it must be enough.
	freeLeast       = 8 << 20
	restFor         = 5
	restAllocations = 4
)

// collect has a process hold no more garbage than it makes in collectEvery, until ctx ends,
// and give back what it has needed once and does not need at rest. By Go's own rule the
// garbage may grow as large as what is in use, and a tenth of that is kept free, which at rest
// is memory for nothing; one collection a second costs little. Where GOGC is set, that counts.
func collect(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	read := []heap.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	var before uint64
	percent, atRest := percentMost, 0
	for {
		heap.Read(read)
		allocated := read[0].Value.Uint64()
		if atRest = rests(atRest, allocated-before, read[2].Value.Uint64()); atRest == restFor {
			debug.FreeOSMemory()
			atRest = 0
		}
		if next := garbagePercent(allocated-before, read[1].Value.Uint64()); next != percent {
			debug.SetGCPercent(next)
			percent = next
		}
		before = allocated
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// rests answers for how long, in collectEvery, a process has had much more memory free than it
// allocates, when it had so for so long until now.
func rests(so int, allocated, free uint64) int {
	if free < max(freeLeast, restAllocations*allocated) {
		return 0
	}
	return so + 1
}

// garbagePercent is the GOGC for a process that allocates so many bytes between two
// collections and has so many in use. It moves in steps of a quarter, at least, for each
// change stops the process for a moment.
func garbagePercent(allocated, live uint64) int {
	const least, step = 4, 1.25
	want := 100 * float64(max(allocated, garbageLeast)) / float64(max(live, 1))
	percent := float64(least)
	for percent < want && percent < percentMost {
		percent *= step
	}
	return int(min(percent, percentMost))
}
