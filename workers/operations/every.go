package operations

import (
	"context"
	"log/slog"
	"time"
)

// every does it now and at each tick, until the context ends. A tick that falls
// into the doing is left out.
func every(ctx context.Context, interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		do()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// sayOnce logs what goes wrong when it begins, changes or ends, not at every tick.
// It answers what was said last, to be passed in again.
func sayOnce(log *slog.Logger, said, what string, err error) string {
	now := ""
	if err != nil {
		now = err.Error()
	}
	switch now {
	case said:
	case "":
		log.Info("no longer: " + what)
	default:
		log.Warn(what, "error", now)
	}
	return now
}
