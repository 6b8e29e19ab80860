package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// clockTick is how often the clock of a paced run looks what is due.
const clockTick = time.Millisecond

// result is what both sides saw.
type result struct {
	rate                       int // asked for; 0: as fast as they are stored
	took                       time.Duration
	received                   int64
	lost, repeated, disordered int64
	perSecond                  []float64
	// From when a message was due: sent (late: what the clock itself adds), taken in
	// by the hub, confirmed to the sender, handled by the receiver; handed is from
	// taken in to handled.
	late, taken, stored, delivered, handed *hdrhistogram.Histogram
}

func (r *result) throughput() float64 { return float64(r.received) / r.took.Seconds() }

// load runs all agents for a while: at a rate, or as fast as messages are stored.
func load(ctx context.Context, o options, url string, rate int) (*result, error) {
	if rate > 0 {
		o.window = rate * o.seconds // the clock never waits for the hub
	}
	var received atomic.Int64
	agents, err := newAgents(o, url, &received)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	for _, a := range agents {
		clients.Go(func() {
			if err := a.Run(running); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		})
	}
	if err := warm(ctx, o, agents, &received); err != nil {
		return nil, err
	}
	r := &result{rate: rate, late: histogram()}
	sending, quiet := context.WithTimeout(ctx, time.Duration(o.seconds)*time.Second)
	defer quiet()
	start := time.Now()
	var senders sync.WaitGroup
	if rate > 0 {
		senders.Go(func() { pace(sending, o, agents, rate, r.late) })
	} else {
		for _, a := range agents {
			senders.Go(func() {
				for sending.Err() == nil && a.one(sending, o, time.Now()) {
				}
			})
		}
	}
	r.perSecond = watch(sending, &received)
	senders.Wait()
	settled := until(func() bool { return settle(agents, &received) })
	r.took = time.Since(start)
	if settled != nil {
		fmt.Fprintln(os.Stderr, "not all messages came:", settled)
	}
	stop()
	clients.Wait()
	r.sum(o, agents)
	return r, nil
}

// warm connects everybody and sends one message to each peer; it is not measured.
func warm(ctx context.Context, o options, agents []*agent, received *atomic.Int64) error {
	for range o.peers {
		for _, a := range agents {
			a.one(ctx, o, time.Now())
		}
	}
	if err := until(func() bool { return settle(agents, received) }); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	for _, a := range agents {
		a.mu.Lock()
		a.stored.Reset()
		a.mu.Unlock()
		// Its handler is idle: nothing is on its way.
		a.delivered.Reset()
		a.taken.Reset()
		a.handed.Reset()
	}
	return nil
}

// pace sends open loop: message n of all is due n/rate after the start, agents in
// turn, whether or not the hub keeps up; each is timed from when it was due.
func pace(ctx context.Context, o options, agents []*agent, rate int, late *hdrhistogram.Histogram) {
	tick := time.NewTicker(clockTick)
	defer tick.Stop()
	apart := float64(time.Second) / float64(rate)
	start := time.Now()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for now := time.Since(start); ; n++ {
			at := time.Duration(float64(n) * apart)
			if at > now {
				break
			}
			record(late, time.Since(start)-at)
			if !agents[n%len(agents)].one(ctx, o, start.Add(at)) {
				return
			}
		}
	}
}

// watch counts what is received in each second until ctx ends.
func watch(ctx context.Context, received *atomic.Int64) (perSecond []float64) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for before := received.Load(); ; {
		select {
		case <-ctx.Done():
			return perSecond
		case <-tick.C:
			now := received.Load()
			perSecond = append(perSecond, float64(now-before))
			before = now
		}
	}
}

// settle tells whether everything sent was answered and everything stored came.
func settle(agents []*agent, received *atomic.Int64) bool {
	var open, stored int64
	for _, a := range agents {
		ok := a.storedOK.Load()
		stored += ok
		open += a.sent.Load() - ok - a.failed.Load()
	}
	return open == 0 && received.Load() >= stored
}

func (r *result) sum(o options, agents []*agent) {
	r.stored, r.delivered, r.taken, r.handed = histogram(), histogram(), histogram(), histogram()
	var stored, seen int64
	for _, a := range agents {
		stored += a.storedOK.Load()
		seen += a.seen
		r.repeated += a.repeated
		r.disordered += a.jumped
		r.stored.Merge(a.stored)
		r.delivered.Merge(a.delivered)
		r.taken.Merge(a.taken)
		r.handed.Merge(a.handed)
	}
	r.lost = stored - seen
	r.received = seen - int64(o.agents*o.peers) // without the warm-up's
}
