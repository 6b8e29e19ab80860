package matcherload

import (
	"context"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// A Result is what one load gave.
type Result struct {
	P50, P99       time.Duration // of one completion with its assignment, the clock's own cost included
	Clock          time.Duration // that cost: the median of readings with nothing between them
	PerSecond      float64       // assignments, each with its completion and a submission: the median round
	PerCPUSecond   float64       // the same by the process's own time: a machine that is shared gives it less than a core
	BatchPerSecond float64       // as PerSecond, in batches of Batch
	Comparisons    float64       // per assignment
	AllocsPerStep  float64
}

// Compare measures loads in turn, round by round, so that whatever else the
// machine does meets all of them alike. Each round is a number of steps for the
// rate, as many again in batches, and as many with the clock read around each
// completion.
func Compare(ctx context.Context, rounds, steps int, loads ...*Load) ([]Result, error) {
	gauges := make([]gauge, len(loads))
	for i, l := range loads {
		gauges[i].times = make([]time.Duration, 0, rounds*(steps+Batch))
		if err := l.Prepare(steps); err != nil {
			return nil, err
		}
		for range steps {
			if err := l.Step(); err != nil {
				return nil, err
			}
		}
	}
	for range rounds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for i, l := range loads {
			if err := l.Prepare(3 * steps); err != nil {
				return nil, err
			}
			if err := gauges[i].round(l, steps); err != nil {
				return nil, err
			}
		}
	}
	results := make([]Result, len(loads))
	for i := range gauges {
		results[i] = gauges[i].result()
	}
	return results, nil
}

// clockReadings is how often a round reads the clock with nothing between.
const clockReadings = 1000

// gauge collects the rounds of one load.
type gauge struct {
	times, clocks      []time.Duration
	rates, cpuRates    []float64
	batchRates         []float64
	assigned, compared uint64
	allocated, stepped uint64
}

func (g *gauge) round(l *Load, steps int) error {
	var before, after runtime.MemStats
	runtime.GC() // what was prepared must not be collected within the round
	runtime.ReadMemStats(&before)
	was, cpuBegan, began := l.m.Stats(), cpuTime(), time.Now()
	for range steps {
		if err := l.Step(); err != nil {
			return err
		}
	}
	took, cpuTook, now := time.Since(began), cpuTime()-cpuBegan, l.m.Stats()
	runtime.ReadMemStats(&after)
	g.rates = append(g.rates, float64(steps)/took.Seconds())
	g.cpuRates = append(g.cpuRates, float64(steps)/cpuTook.Seconds())
	g.assigned += now.Assignments - was.Assignments
	g.compared += now.Comparisons - was.Comparisons
	g.allocated += after.Mallocs - before.Mallocs
	g.stepped += uint64(steps)
	batches := steps / Batch
	began = time.Now()
	for range batches {
		if err := l.StepBatch(); err != nil {
			return err
		}
	}
	g.batchRates = append(g.batchRates, float64(batches*Batch)/time.Since(began).Seconds())
	for range clockReadings {
		t := time.Now()
		g.clocks = append(g.clocks, time.Since(t))
	}
	for i := range l.ready {
		s := &l.ready[i]
		t := time.Now()
		if err := l.finish(s); err != nil {
			return err
		}
		g.times = append(g.times, time.Since(t))
		if err := l.refill(s); err != nil {
			return err
		}
	}
	l.ready = l.ready[:0]
	return nil
}

// cpuTime is what this process has used of the processors so far. One goroutine
// runs in a round, so it is that one's.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // only a bad address or a bad argument, both ours
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (g *gauge) result() Result {
	slices.Sort(g.times)
	slices.Sort(g.clocks)
	slices.Sort(g.batchRates)
	slices.Sort(g.rates)
	slices.Sort(g.cpuRates)
	return Result{
		P50:            g.times[len(g.times)/2],
		P99:            g.times[len(g.times)*99/100],
		Clock:          g.clocks[len(g.clocks)/2],
		PerSecond:      g.rates[len(g.rates)/2],
		PerCPUSecond:   g.cpuRates[len(g.cpuRates)/2],
		BatchPerSecond: g.batchRates[len(g.batchRates)/2],
		Comparisons:    float64(g.compared) / float64(g.assigned),
		AllocsPerStep:  float64(g.allocated) / float64(g.stepped),
	}
}
