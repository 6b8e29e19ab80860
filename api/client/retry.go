package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"connectrpc.com/connect"
)

// Pauses between tries: doubled each time, with jitter so that agents that lost
// the same replica do not come back in step.
const (
	pauseFirst = 50 * time.Millisecond
	pauseMost  = 2 * time.Second
)

// backoff is the pause before the next try.
type backoff struct{ next time.Duration }

func (b *backoff) reset() { b.next = 0 }

// pause is how long to wait now: longer each time, or as long as the server asked for.
func (b *backoff) pause(asked time.Duration) time.Duration {
	b.next = min(max(2*b.next, pauseFirst), pauseMost)
	return max(b.next/2+rand.N(b.next/2), asked)
}

// wait pauses.
func (b *backoff) wait(ctx context.Context, asked time.Duration) error {
	timer := time.NewTimer(b.pause(asked))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// retryable tells whether the same call may succeed later, and how long the
// server asked to wait. Cancelled is what the library calls a connection that was
// reset or had been closed, and a replica a request that it cut at its end: whoever
// cancels a call himself knows it by his context.
func retryable(err error) (time.Duration, bool) {
	var e *connect.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	switch e.Code() {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeAborted, connect.CodeCanceled:
		secs, err := strconv.Atoi(e.Meta().Get("Retry-After"))
		if err != nil || secs < 0 {
			return 0, true
		}
		// A draining replica says one second, yet the proxy knows a better one at
		// once: the first pauses stay short, the server's wish caps them.
		return min(time.Duration(secs)*time.Second, pauseFirst), true
	default:
		return 0, false
	}
}

// call makes one call, again and again until it is answered for good or ctx ends.
func call[In, Out any](ctx context.Context, do func(context.Context, *connect.Request[In]) (*connect.Response[Out], error), in *In) (*Out, error) {
	var pause backoff
	for {
		try, cancel := context.WithTimeout(ctx, callMax)
		resp, err := do(try, connect.NewRequest(in))
		cancel()
		if err == nil {
			return resp.Msg, nil
		}
		asked, again := retryable(err)
		if !again || ctx.Err() != nil {
			return nil, err
		}
		if pause.wait(ctx, asked) != nil {
			return nil, err
		}
	}
}
