package route

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leanvibe/hive/api/place"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/wire"
)

// A Directory knows who owns what.
type Directory interface {
	// Owner answers the owner of a partition as it is known now; nil: nobody is.
	Owner(n int) Owner
	// Holder names who owns a partition as it is known now; empty: nobody does.
	Holder(n int) string
	// Changed is closed when any owner may have changed since the call of Changed.
	Changed() <-chan struct{}
	// Suspect says that what is known of a partition's owner was wrong.
	Suspect(n int)
}

// Router asks the owners of partitions.
type Router struct {
	// Partitions is how many there are.
	Partitions int
	Directory  Directory
	// Patience is how long a call waits for a partition that has no owner; 0: 8 s.
	Patience time.Duration
}

// patience is below the ten seconds for which clients and proxies wait.
const patience = 8 * time.Second

// askEvery is the pause between two questions to an owner that does not know better yet.
const askEvery = 50 * time.Millisecond

// OfQueue answers the partition of a queue: a queue is in one, so that its order and its
// keys are one owner's.
func (r *Router) OfQueue(name string) int {
	return place.Of(name, r.Partitions)
}

// limit answers Patience, or what it is unless it is said.
func (r *Router) limit() time.Duration {
	if r.Patience == 0 {
		return patience
	}
	return r.Patience
}

// OfTask answers the partition that stands in a task's id; false where there is none such.
func (r *Router) OfTask(id partition.TaskID) (int, bool) {
	n := int(id[14])<<8 | int(id[15])
	return n, n < r.Partitions
}

// Stamp writes the partition into a new task's id.
func Stamp(id *partition.TaskID, n int) { id[14], id[15] = byte(n>>8), byte(n) }

// Ask asks the owner of a partition, and its next one if it is lost meanwhile: what is
// asked must bear repeating. After Patience it answers a *partition.BusyError that says
// that the call may have been done.
func Ask[Out any](ctx context.Context, r *Router, n int, do func(context.Context, Owner) (Out, error)) (Out, error) {
	limit := r.limit()
	over := time.NewTimer(limit)
	defer over.Stop()
	patient := time.Now().Add(limit)
	for {
		changed := r.Directory.Changed()
		owner := r.Directory.Owner(n)
		var last error
		if owner != nil {
			out, err := within(ctx, patient, owner, do)
			if wire.KindOf(err) != wire.Lost {
				return out, err
			}
			last = err
			r.Directory.Suspect(n)
		}
		again := time.NewTimer(askEvery)
		select {
		case <-changed:
		case <-again.C:
		case <-over.C:
			var none Out
			return none, moving(n, last)
		case <-ctx.Done():
			var none Out
			return none, ctx.Err()
		}
		again.Stop()
	}
}

// within asks an owner that may never answer: one that Redis does not reach waits for it.
func within[Out any](ctx context.Context, until time.Time, owner Owner, do func(context.Context, Owner) (Out, error)) (Out, error) {
	limited, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	out, err := do(limited, owner)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = partition.ErrLost
	}
	return out, err
}

func moving(n int, last error) error {
	reason := fmt.Sprintf("partition %d has no owner at the moment", n)
	if last != nil {
		reason = fmt.Sprintf("partition %d is on its way to another replica, and whether this was done is not known: send it again, with the same idempotency key", n)
	}
	return &partition.BusyError{Reason: reason, RetryAfter: time.Second}
}

// All asks the owner of every partition and answers in their order.
func All[Out any](ctx context.Context, r *Router, do func(context.Context, Owner) (Out, error)) ([]Out, error) {
	out := make([]Out, r.Partitions)
	errs := make([]error, r.Partitions)
	done := make(chan struct{})
	for n := range r.Partitions {
		go func() {
			out[n], errs[n] = Ask(ctx, r, n, do)
			done <- struct{}{}
		}()
	}
	for range r.Partitions {
		<-done
	}
	return out, errors.Join(errs...)
}
