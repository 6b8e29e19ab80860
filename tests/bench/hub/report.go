package main

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bars, for 64 agents and everysec: messages a second, and ms of the p99 from due
// to handled at half of what the hub did.
const (
	barThroughput = 90_000
	barP99        = 25
)

// print writes the result as a table.
func (r *result) print(o options, used []time.Duration, memory int64) {
	how := fmt.Sprintf("as fast as stored, window %d", o.window)
	if r.rate > 0 {
		how = fmt.Sprintf("open loop at %d/s", r.rate)
	}
	fmt.Printf("\n%s: agents %d  peers %d  body %d B  fsync %s  cores %d\n", how, o.agents, o.peers, o.size, o.fsync, runtime.NumCPU())
	slices.Sort(r.perSecond)
	fmt.Printf("delivered and acknowledged %d in %.2f s: %.0f messages/s", r.received, r.took.Seconds(), r.throughput())
	if n := len(r.perSecond); n > 0 {
		fmt.Printf(" (median second %.0f)", r.perSecond[n/2])
	}
	fmt.Println()
	for _, line := range []struct {
		name string
		h    *hdrhistogram.Histogram
	}{
		{"due to sent, the clock's own", r.late}, {"due to taken in by the hub", r.taken}, {"taken in to handled", r.handed},
		{"due to confirmed to the sender", r.stored}, {"due to handled", r.delivered},
	} {
		fmt.Printf("  %-31s p50 %7.2f ms  p99 %7.2f ms  max %7.2f ms\n", line.name, ms(line.h, 50), ms(line.h, 99), ms(line.h, 100))
	}
	fmt.Printf("lost %d  repeated %d  out of order %d\n", r.lost, r.repeated, r.disordered)
	fmt.Printf("CPU per message: redis %.2f us, hub %.2f us, agents %.2f us; of %d cores %.2f in use; hub resident %d MB\n",
		r.per(used[0]), r.per(used[1]), r.per(used[2]), runtime.NumCPU(), (used[0]+used[1]+used[2]).Seconds()/r.took.Seconds(), memory>>20)
}

func ms(h *hdrhistogram.Histogram, percentile float64) float64 {
	return float64(h.ValueAtQuantile(percentile)) / 1000
}

func (r *result) per(d time.Duration) float64 {
	return float64(d.Microseconds()) / float64(max(r.received, 1))
}

// throughputBar fails below the bar, where it applies.
func (r *result) throughputBar(o options) error {
	if o.agents == 64 && o.fsync == "everysec" && r.throughput() < barThroughput {
		return fmt.Errorf("%.0f messages/s: the bar is %d", r.throughput(), barThroughput)
	}
	return nil
}

// latencyBar fails above the bar, or where the hub did not keep up.
func (r *result) latencyBar() error {
	switch p99 := ms(r.delivered, 99); {
	case r.throughput() < 0.95*float64(r.rate):
		return fmt.Errorf("%.0f messages/s where %d were sent: the hub does not keep up", r.throughput(), r.rate)
	case p99 > barP99:
		return fmt.Errorf("p99 %.2f ms at %d messages/s: the bar is %d ms", p99, r.rate, barP99)
	}
	return nil
}
