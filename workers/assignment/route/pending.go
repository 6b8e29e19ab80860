package route

import (
	"context"
	"time"

	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/wire"
)

// A Pending is a call of one partition that somebody waits for.
type Pending struct {
	// Here: this replica's own partition has it already, and Wait only waits.
	Here bool
	Wait func()
}

// Begin asks the owner of a partition as Ask does, and hands the answer to then. Where that is
// this replica itself, the call is handed over before Begin returns: no goroutine has to be
// woken for it.
func Begin[Out any](ctx context.Context, r *Router, n int,
	begin func(*partition.Partition) func(context.Context) (Out, error), do func(context.Context, Owner) (Out, error), then func(Out, error),
) Pending {
	local, here := r.Directory.Owner(n).(Local)
	if !here {
		return Pending{Wait: func() { then(Ask(ctx, r, n, do)) }}
	}
	wait, patient := begin(local.Partition), time.Now().Add(r.limit())
	return Pending{Here: true, Wait: func() {
		out, err := within(ctx, patient, local, func(ctx context.Context, _ Owner) (Out, error) { return wait(ctx) })
		if wire.KindOf(err) == wire.Lost {
			r.Directory.Suspect(n)
			out, err = Ask(ctx, r, n, do)
		}
		then(out, err)
	}}
}
