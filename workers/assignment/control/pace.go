package control

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

const (
	// lookEvery is how often a condition is looked at.
	lookEvery = 200 * time.Millisecond
	// beatEvery is well below the shortest heartbeat timeout of a step, 10 s.
	beatEvery = 2 * time.Second
)

// beating heartbeats until stop is called or ctx ends, so that Temporal knows that the
// step's replica lives, and the step that it is to stop.
func beating(ctx context.Context) (stop func()) {
	if !activity.IsActivity(ctx) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	activity.RecordHeartbeat(ctx)
	go func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}()
	return cancel
}

// until looks until what it awaits is so (true), the time is over (false), or looking fails.
func until(ctx context.Context, most time.Duration, look func() (bool, error)) (bool, error) {
	late := time.NewTimer(most)
	defer late.Stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if met, err := look(); met || err != nil {
			return met, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-late.C:
			return look()
		case <-tick.C:
		}
	}
}
