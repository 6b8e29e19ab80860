package report

import (
	"fmt"
	"strconv"
	"time"
)

// group writes 12345 as 12 345, with a thin no-break space as SI asks.
func group(n int64) string {
	s := strconv.FormatInt(n, 10)
	first := 0
	if n < 0 {
		first = 1
	}
	for i := len(s) - 3; i > first; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func decimals(v float64) string {
	switch {
	case v >= 100:
		return group(int64(v + 0.5))
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

func ms(v *float64) string {
	if v == nil {
		return "no data"
	}
	return decimals(*v) + "\u202fms"
}

// lasted writes a duration as people say it, to the second from one minute on.
func lasted(d time.Duration) string {
	switch {
	case d < 0:
		return "–"
	case d < time.Second:
		return fmt.Sprintf("%d\u202fms", d.Milliseconds())
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "\u202fs"
	case d < time.Hour:
		return fmt.Sprintf("%d\u202fmin %02d\u202fs", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d\u202fh %02d\u202fmin", int(d.Hours()), int(d.Minutes())%60)
	}
}
