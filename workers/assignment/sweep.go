package assignment

import (
	"context"
	"log/slog"
	"time"
)

// sweepEvery is how late a lease or deadline may be noticed. Every replica
// sweeps: the script makes that safe, and it costs one short call.
const sweepEvery = 500 * time.Millisecond

// sweepMost bounds one sweep; a full one is followed by the next at once.
const sweepMost = 200

type sweeper struct {
	machine *Machine
	metrics *metrics
	log     *slog.Logger
}

// run takes back what ran out until ctx ends.
func (s *sweeper) run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for s.once(ctx) {
		}
	}
}

// once sweeps and tells whether more may be left.
func (s *sweeper) once(ctx context.Context) bool {
	lost, expired, err := s.machine.Expire(ctx, sweepMost)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("sweep failed", "error", err)
		}
		return false
	}
	if lost+expired > 0 {
		s.log.Info("taken back", "lost_leases", lost, "passed_deadlines", expired)
	}
	s.metrics.count("lost", lost)
	s.metrics.count("expired", expired)
	s.depth(ctx)
	return lost == sweepMost || expired == sweepMost
}

// depth reads the gauges; a failure shows in the next sweep's.
func (s *sweeper) depth(ctx context.Context) {
	r, p := s.machine.redis, s.machine.prefix
	if running, err := r.ZCard(ctx, p+"leases").Result(); err == nil {
		s.metrics.depth.WithLabelValues(string(Running)).Set(float64(running))
	}
	waiting, err := s.machine.waitingNow(ctx)
	if err == nil {
		s.metrics.depth.WithLabelValues(string(Waiting)).Set(float64(waiting))
	}
}
