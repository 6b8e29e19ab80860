package assignment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Timing of an agent's stream.
const (
	// keepAliveEvery shows both ends, and the proxy between, that the stream lives.
	keepAliveEvery = 5 * time.Second
	// pollEvery is the longest that a lost event can delay a waiting task.
	pollEvery = 500 * time.Millisecond
	// claimMost bounds one claim, so that two replicas share a burst.
	claimMost = 16
	// cleanupMax bounds what is done for a stream after its end.
	cleanupMax = 3 * time.Second
)

// Sink is the agent's end of a stream.
type Sink interface {
	Attached(session string, lost []Execution) error
	Assign(Assignment) error
	KeepAlive() error
	Goodbye(End) error
}

// session is one agent's stream on this replica.
type session struct {
	Attachment
	id      string
	machine *Machine
	metrics *metrics
	log     *slog.Logger
	sink    Sink

	// wake is full when there is a reason to claim.
	wake chan struct{}
	// free are the slots left after the last claim; the dispatcher reads it.
	free atomic.Int64
	// idleSince is the Unix time in ns of the last assignment.
	idleSince atomic.Int64
}

func (s *session) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// serve claims and delivers until the stream ends. It answers nil for an orderly end.
func (s *session) serve(ctx context.Context, draining <-chan struct{}) error {
	keepAlive := time.NewTicker(keepAliveEvery)
	defer keepAlive.Stop()
	for {
		end, err := s.claim(ctx, draining)
		if err != nil {
			return err
		}
		if end != EndNone {
			return s.sink.Goodbye(end)
		}
		poll := time.NewTimer(pollEvery + rand.N(pollEvery/4))
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-draining:
			err = s.sink.Goodbye(EndDraining)
			poll.Stop()
			return err
		case <-keepAlive.C:
			err = s.sink.KeepAlive()
		case <-s.wake:
		case <-poll.C:
		}
		poll.Stop()
		if err != nil {
			return err
		}
	}
}

// claim takes and delivers until nothing is left for the agent.
func (s *session) claim(ctx context.Context, draining <-chan struct{}) (End, error) {
	for {
		select {
		case <-draining:
			return EndDraining, nil
		default:
		}
		c, err := s.claimOnce(ctx)
		if err != nil {
			return EndNone, err
		}
		s.free.Store(int64(c.Free))
		if err := s.deliver(ctx, c.Assignments); err != nil {
			return EndNone, err
		}
		if c.End != EndNone || c.Free == 0 || len(c.Assignments) < claimMost {
			return c.End, nil
		}
	}
}

// claimOnce asks with one nonce until it has an answer: what a lost answer had
// claimed is then delivered, not left to its lease.
func (s *session) claimOnce(ctx context.Context) (Claimed, error) {
	nonce := uuid.NewString()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		c, err := s.machine.Claim(ctx, &s.Attachment, s.id, nonce, claimMost)
		if err == nil || ctx.Err() != nil {
			return c, errors.Join(err, ctx.Err())
		}
		s.log.Warn("claim failed, trying again", "agent", s.Agent, "error", err)
		select {
		case <-ctx.Done():
			return Claimed{}, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// deliver sends assignments down the stream. Those that were not sent when it
// broke are given back at once; one whose sending failed may have arrived, so it
// is left to the agent's next attach, or to its lease.
func (s *session) deliver(ctx context.Context, list []Assignment) error {
	for i, a := range list {
		s.metrics.assigned(a.Waited)
		s.idleSince.Store(time.Now().UnixNano())
		if err := s.sink.Assign(a); err != nil {
			s.giveBack(ctx, list[i+1:])
			return fmt.Errorf("deliver to agent %s: %w", s.Agent, err)
		}
	}
	return nil
}

func (s *session) giveBack(ctx context.Context, list []Assignment) {
	if len(list) == 0 {
		return
	}
	back := make([]Execution, len(list))
	for i, a := range list {
		back[i] = a.Execution
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupMax)
	defer cancel()
	if _, err := s.machine.Release(ctx, s.Agent, "", back); err != nil {
		s.log.Warn("give back failed; the leases will run out", "agent", s.Agent, "tasks", len(back), "error", err)
	}
}
