package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// victim is a part that is harmed. harm harms it once, at once, and returns when it is
// whole again; what it answers says who it was and how.
type victim struct {
	name    string
	promise string
	harm    func(context.Context, *world, *rand.Rand) (string, error)
	views   bool // the orchestrators reach others through cables
	behind  bool // a Redis replica may be cut from its master
	agent   bool // beside the others there is an agent of its own process
	spares  int  // orchestrators that are not started at first
}

const clusterPromise = "WAIT 1 in a cluster of 3+3: nothing acknowledged is lost under one node's failure"

func victims() []victim {
	return []victim{
		{name: "orchestrator", promise: clusterPromise, harm: killOne(func(w *world) []*service { return w.orchestrators })},
		{name: "owner", promise: "an orchestrator that stood still past its term acknowledges nothing of what others own now", harm: stopOwner},
		{name: "hub", promise: clusterPromise, harm: killOne(func(w *world) []*service { return w.hubs })},
		{name: "engine", promise: "a killed agent's tasks go to others when its lease is over", harm: killOne(func(w *world) []*service { return w.engines })},
		{name: "redis", promise: clusterPromise, harm: killMaster, behind: true},
		{name: "network", promise: clusterPromise, harm: cutNetwork, views: true},
		{name: "agent", promise: "a result behind the lease is refused", harm: stopAgent, agent: true},
		{name: "replicas", promise: "1 -> 3 -> 1 replicas: no loss, no error a client sees", harm: scale, spares: 2},
	}
}

// killOne kills a service's process and starts it again, half the time at once.
func killOne(of func(*world) []*service) func(context.Context, *world, *rand.Rand) (string, error) {
	return func(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
		list := of(w)
		s := list[rng.IntN(len(list))]
		s.kill()
		down := time.Duration(0)
		if rng.IntN(2) == 0 {
			down = upTo(rng, 5*time.Second)
		}
		if err := pause(ctx, down); err != nil {
			return "", err
		}
		if err := s.start(); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s away for %s", s.name, down.Round(time.Millisecond)), w.ready(ctx)
	}
}

func killMaster(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	name, err := w.redis.killMaster(ctx, rng)
	if err == nil {
		err = w.redis.whole(ctx)
	}
	if err == nil {
		err = w.ready(ctx)
	}
	return name, err
}

// term is how long a partition stays an orchestrator's that is not heard of.
const term = 3 * time.Second

// stopOwner stops an orchestrator's process, mostly for longer than its term.
func stopOwner(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	s := w.orchestrators[rng.IntN(len(w.orchestrators))]
	s.signal(syscall.SIGSTOP)
	away := term/2 + upTo(rng, 2*term)
	err := pause(ctx, away)
	s.signal(syscall.SIGCONT)
	if err == nil {
		err = w.ready(ctx)
	}
	return fmt.Sprintf("%s stopped for %s", s.name, away.Round(time.Millisecond)), err
}

// cutNetwork cuts one orchestrator from Redis, or all from each other, in silence or by
// ending the connections.
func cutNetwork(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	n := rng.IntN(2)
	how, how2 := silent, "silent"
	if rng.IntN(2) == 0 {
		how, how2 = severed, "severed"
	}
	cut, what := w.views[n].redis, fmt.Sprintf("%s from Redis", w.orchestrators[n].name)
	if rng.IntN(3) == 0 {
		cut, what = nil, "the orchestrators from each other"
		for _, v := range w.views {
			cut = append(cut, v.peers...)
		}
	}
	for _, c := range cut {
		c.set(how)
	}
	away := 300*time.Millisecond + upTo(rng, 10*time.Second)
	err := pause(ctx, away)
	for _, c := range cut {
		c.set(intact)
	}
	if err == nil {
		err = w.ready(ctx)
	}
	return fmt.Sprintf("%s, %s for %s", what, how2, away.Round(time.Millisecond)), err
}

// stopAgent stops an agent's process for longer than its lease.
func stopAgent(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	w.agent.signal(syscall.SIGSTOP)
	away := lease + 500*time.Millisecond + upTo(rng, 3*time.Second)
	err := pause(ctx, away)
	w.agent.signal(syscall.SIGCONT)
	if err == nil {
		err = pause(ctx, time.Second) // it finishes what it had, and reports
	}
	return "stopped for " + away.Round(time.Millisecond).String(), err
}

// scale goes from one replica to three and back, the survivor another than before.
func scale(ctx context.Context, w *world, _ *rand.Rand) (string, error) {
	w.phase("1 replica")
	if err := pause(ctx, phaseLong); err != nil {
		return "", err
	}
	list := w.orchestrators
	for _, s := range list[1:] {
		if err := s.start(); err != nil {
			return "", err
		}
	}
	w.balance(len(list))
	if err := w.ready(ctx); err != nil {
		return "", err
	}
	w.phase("3 replicas")
	if err := pause(ctx, phaseLong); err != nil {
		return "", err
	}
	w.phase("3 to 1")
	for _, s := range list[:len(list)-1] {
		if err := s.terminate(time.Minute); err != nil {
			return "", err
		}
	}
	w.orchestrators = append(list[len(list)-1:len(list):len(list)], list[:len(list)-1]...)
	w.balance(1)
	w.phase("1 replica again")
	return "1 -> 3 -> 1, " + w.orchestrators[0].name + " stays", pause(ctx, phaseLong)
}

// phaseLong is how long a number of replicas is kept.
const phaseLong = 5 * time.Second

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// upTo answers a random duration below most.
func upTo(rng *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(most)))
}
