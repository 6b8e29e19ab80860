package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// settleMax bounds the wait for the last acknowledgements of a run.
const settleMax = 2 * time.Minute

// tickEvery is the pace of a fixed rate: what is due in a tick is one batch, as
// far as the contender takes batches.
const tickEvery = 5 * time.Millisecond

// Session is one contender running: its servers, its consumers, its books.
type Session struct {
	spec   Spec
	peer   Peer
	ledger *Ledger

	end      context.CancelFunc
	consumer sync.WaitGroup
}

// open starts a contender and its consumers.
func open(ctx context.Context, spec Spec, env Env) (*Session, error) {
	s := &Session{spec: spec, peer: spec.New(), ledger: NewLedger()}
	if err := s.peer.Start(ctx, env); err != nil {
		return nil, joinStop(fmt.Errorf("start: %w", err), s.peer)
	}
	ctx, s.end = context.WithCancel(ctx)
	s.consumer.Go(func() {
		if err := s.peer.Consume(ctx, s.ledger); err != nil && ctx.Err() == nil {
			s.ledger.Fail(fmt.Errorf("consume: %w", err))
		}
	})
	return s, nil
}

// Close ends consumers and servers.
func (s *Session) Close() error {
	s.end()
	s.consumer.Wait()
	return s.peer.Stop()
}

// saturate submits as fast as the window allows, for a time or until a number of
// tasks is reached (0: no bound). It answers all of the run's tasks by the time
// from the first submit to the last acknowledgement: counted within a fixed
// interval, a queue that lets submitters starve its workers would show nothing
// but how long it takes to fill.
func (s *Session) saturate(ctx context.Context, d time.Duration, most uint64) (float64, error) {
	limit, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	start, before := now(), s.ledger.next.Load()
	var lanes sync.WaitGroup
	for lane := range s.spec.Lanes {
		lanes.Go(func() {
			for (most == 0 || s.ledger.next.Load() < before+most) && s.ledger.reserve(limit, s.spec.Batch) {
				s.submit(ctx, lane, s.ledger.take(s.spec.Batch, now()))
			}
		})
	}
	lanes.Wait()
	last, err := s.settle(ctx)
	return float64(s.ledger.next.Load()-before) / (last - start).Seconds(), err
}

// pace submits at a fixed rate, open loop: a task's delay counts from when it was
// due, so a contender that falls behind cannot hide it.
func (s *Session) pace(ctx context.Context, rate float64, d time.Duration) (*latencies, error) {
	seen := &latencies{}
	s.ledger.latencies.Store(seen)
	defer s.ledger.latencies.Store(nil)
	// Roomy enough for all there is: the clock never waits for the contender.
	due := make(chan []Task, int(rate*d.Seconds())+1)
	var lanes sync.WaitGroup
	for lane := range s.spec.Lanes {
		lanes.Go(func() {
			for batch := range due {
				if !s.ledger.reserve(ctx, len(batch)) {
					return
				}
				s.submit(ctx, lane, batch)
			}
		})
	}
	s.clock(ctx, due, rate, d)
	close(due)
	lanes.Wait()
	_, err := s.settle(ctx)
	return seen, err
}

// clock makes the tasks that are due, tick by tick.
func (s *Session) clock(ctx context.Context, due chan<- []Task, rate float64, d time.Duration) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	start, sent := now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		at := now()
		for n := int(rate*min(at-start, d).Seconds()) - sent; n > 0; {
			size := min(n, s.spec.Batch)
			due <- s.ledger.take(size, at)
			n, sent = n-size, sent+size
		}
		if at-start >= d {
			return
		}
	}
}

func (s *Session) submit(ctx context.Context, lane int, batch []Task) {
	if err := s.peer.Submit(ctx, lane, batch); err != nil {
		s.ledger.Fail(fmt.Errorf("submit: %w", err))
		return
	}
	s.ledger.submitted(batch)
	if s.spec.Part != Ceiling {
		return
	}
	// Nobody consumes: stored is all that happens.
	ids := make([]uint64, len(batch))
	for i, t := range batch {
		ids[i] = s.ledger.Begin(t.Payload)
	}
	s.ledger.Done(ids...)
}

// settle waits for the last acknowledgements, then holds both sides' books and
// the server's own against each other. It answers when the last one came.
func (s *Session) settle(ctx context.Context) (time.Duration, error) {
	limit, cancel := context.WithTimeout(ctx, settleMax)
	defer cancel()
	err := s.ledger.settle(limit)
	last := now()
	if err != nil {
		return last, err
	}
	if err := s.empty(limit); err != nil {
		return last, err
	}
	return last, s.ledger.Check()
}

// empty waits until the server holds nothing: the last acknowledgements may be on their way.
func (s *Session) empty(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := s.peer.Left(ctx)
		if err == nil && left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server still holds %d tasks (%w)", left, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
