package flow

import (
	"go.temporal.io/sdk/workflow"
)

// Together runs parts side by side, at most limit at a time (0 for all at once).
// The first failure asks the others to stop at their next safe point; it is
// answered once all have ended.
func Together(ctx workflow.Context, limit int, parts ...func(workflow.Context) error) error {
	ctx, stop := workflow.WithCancel(ctx)
	defer stop()
	if limit <= 0 {
		limit = len(parts)
	}
	places := workflow.NewSemaphore(ctx, int64(max(limit, 1)))
	all := workflow.NewWaitGroup(ctx)
	var first error
	for _, part := range parts {
		all.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer all.Done()
			if err := places.Acquire(ctx, 1); err != nil {
				return // asked to stop before it began
			}
			defer places.Release(1)
			if first != nil || ctx.Err() != nil {
				return
			}
			if err := part(ctx); err != nil && first == nil {
				first = err
				stop()
			}
		})
	}
	wait, _ := workflow.NewDisconnectedContext(ctx)
	all.Wait(wait)
	if first == nil {
		return ctx.Err()
	}
	return first
}
