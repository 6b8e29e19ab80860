package probe

import (
	"math"
	"sort"
	"time"
)

// growth is the ratio of neighbouring buckets: a percentile is exact to 2 %.
const growth = 1.02

// histogram counts durations by logarithmic buckets. It is small enough to travel
// in a heartbeat, so that a retry goes on counting.
type histogram map[int]int64

func (h histogram) add(d time.Duration) {
	us := math.Max(float64(d)/float64(time.Microsecond), 1)
	h[int(math.Ceil(math.Log(us)/math.Log(growth)))]++
}

// percentile is the upper bound of the bucket in which the share of all durations
// is reached; nil where nothing was counted.
func (h histogram) percentile(share float64) *float64 {
	var total int64
	buckets := make([]int, 0, len(h))
	for b, n := range h {
		buckets = append(buckets, b)
		total += n
	}
	if total == 0 {
		return nil
	}
	sort.Ints(buckets)
	rank := int64(math.Ceil(share * float64(total)))
	var seen int64
	for _, b := range buckets {
		if seen += h[b]; seen >= rank {
			ms := math.Pow(growth, float64(b)) / 1000
			return &ms
		}
	}
	return nil
}
