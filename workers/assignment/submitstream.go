package assignment

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"connectrpc.com/connect"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/wire"
)

// submitStream stores batches as they come until the peer sends no more or the replica
// drains; then what is under way is answered, and a goodbye ends the stream.
func (s *service) submitStream(ctx context.Context, receive func() (*hivev1.SubmitStreamRequest, error), send func(*hivev1.SubmitStreamResponse) error) error {
	goodbye := &hivev1.SubmitStreamResponse{Goodbye: &hivev1.Goodbye{Reason: hivev1.Goodbye_REASON_DRAINING}}
	if !s.begin() {
		return send(goodbye)
	}
	defer s.open.Done()
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	var broken error
	reply := func(m *hivev1.SubmitStreamResponse) {
		mu.Lock()
		defer mu.Unlock()
		if broken == nil {
			if broken = send(m); broken != nil {
				cancel()
			}
		}
	}
	var underWay, telling sync.WaitGroup
	hush := func() {
		cancel()
		telling.Wait()
	}
	defer hush()
	inside := false
	answer := func(m *hivev1.SubmitStreamRequest) {
		outcomes, err := s.submitBatch(ctx, m.GetDrafts())
		if err != nil {
			outcomes = refusedWhole(len(m.GetDrafts()), err)
		}
		reply(&hivev1.SubmitStreamResponse{Sequence: m.GetSequence(), Outcomes: outcomesToProto(outcomes)})
	}
	frames := make(chan *hivev1.SubmitStreamRequest)
	over := make(chan error, 1)
	go func() {
		for {
			m, err := receive()
			if err != nil {
				over <- err
				return
			}
			select {
			case frames <- m:
			case <-ctx.Done():
				over <- ctx.Err()
				return
			}
		}
	}()
	slots := make(chan struct{}, framesAtOnce)
	for {
		select {
		case m := <-frames:
			if m.GetInside() && !inside {
				inside = true
				telling.Go(func() { s.tellPlaces(ctx, reply) })
			}
			if m.GetInside() && len(m.GetDrafts()) == 0 {
				continue // it has said all that it has to say
			}
			slots <- struct{}{}
			underWay.Go(func() {
				answer(m)
				<-slots
			})
			continue
		case err := <-over:
			underWay.Wait()
			hush()
			if errors.Is(err, io.EOF) {
				return broken
			}
			return errors.Join(broken, err)
		case <-s.draining:
			underWay.Wait()
			hush() // the goodbye is the last frame
			if broken != nil {
				return broken
			}
			return send(goodbye)
		}
	}
}

// refusedWhole are the outcomes of a frame that was refused as a whole: that of each draft,
// and one where there is none, or nobody would hear why.
func refusedWhole(drafts int, err error) []partition.Submitted {
	return slices.Repeat([]partition.Submitted{{Err: err}}, max(1, drafts))
}

func outcomesToProto(list []partition.Submitted) []*hivev1.SubmitOutcome {
	texts := wire.IDs(len(list), func(i int) partition.TaskID { return list[i].Task })
	all, out := make([]hivev1.SubmitOutcome, len(list)), make([]*hivev1.SubmitOutcome, len(list))
	for i, o := range list {
		out[i] = &all[i]
		out[i].Duplicate = o.Duplicate
		if o.Task != (partition.TaskID{}) {
			out[i].TaskId = texts[i]
		}
		if o.Err != nil {
			out[i].Refused, out[i].Reason = connect.CodeOf(rpcError(o.Err)).String(), o.Err.Error()
		}
	}
	return out
}

// taskMessage is the answer of calls about one task.
func taskMessage(t partition.Task, err error) (*hivev1.Task, error) {
	if err != nil {
		return nil, err
	}
	return wire.TaskToProto(&t), nil
}
