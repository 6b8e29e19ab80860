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
)

// collect has a process hold no more garbage than it makes in collectEvery, until ctx ends.
// By Go's own rule the garbage may grow as large as what is in use, which at rest is
// memory for nothing; one collection a second costs little. Where GOGC is set, that counts.
func collect(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	read := []heap.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	var before uint64
	percent := percentMost
	for {
		heap.Read(read)
		allocated := read[0].Value.Uint64()
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
