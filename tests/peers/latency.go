package main

import (
	"slices"
	"sync"
	"time"
)

// latencies are the delays of one run, all of them: percentiles are exact.
type latencies struct {
	mu     sync.Mutex
	values []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	l.values = append(l.values, d)
	l.mu.Unlock()
}

// percentile answers the delay, in ms, that a share of the tasks did not exceed.
func (l *latencies) percentile(share float64) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.values) == 0 {
		return 0
	}
	slices.Sort(l.values)
	at := min(int(share*float64(len(l.values))), len(l.values)-1)
	return float64(l.values[at]) / float64(time.Millisecond)
}

// median answers the middle value; of an even number, the mean of the two.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	if n == 0 {
		return 0
	}
	return (v[(n-1)/2] + v[n/2]) / 2
}
