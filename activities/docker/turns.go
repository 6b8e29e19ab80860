package docker

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Turns lets one image be pulled and one replica be started at a time, whichever
// services roll side by side: unpacking layers and starting processes are the two
// acts that take the processor from the containers that serve, and three at once
// are felt by users where one after the other is not. Pulls and starts do not wait
// for each other, so that a slow registry holds up no start.
type Turns struct {
	pulls, starts *semaphore.Weighted
}

// NewTurns is for a hand that works for several services at once.
func NewTurns() Turns {
	return Turns{pulls: semaphore.NewWeighted(1), starts: semaphore.NewWeighted(1)}
}

// take waits for a turn. The returned call gives it back.
func take(ctx context.Context, turn *semaphore.Weighted) (done func(), err error) {
	if turn == nil {
		return func() {}, nil
	}
	if err := turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { turn.Release(1) }, nil
}
