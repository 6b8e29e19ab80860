package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// FleetConfig describes a fleet; its zero value is a good one.
type FleetConfig struct {
	// Linger is how long a result waits for others to go with; 0 means 1 ms, less than 0 not at all.
	Linger time.Duration
	// Refused, when set, is told of each agent that the server will never accept; it is
	// then no part of the fleet any more. It must not block.
	Refused func(id string, err error)
	Log     *slog.Logger
}

// Fleet is many agents on one stream. Each is what Agent is; what they attach, hold and
// report goes together. When the stream breaks, all attach again on the next with what
// they hold, and report again what was not answered. Their Taken and Done are called by
// the stream's reader and must not block.
type Fleet struct {
	cfg  FleetConfig
	rpc  *Client
	wake chan struct{} // the writer has something to look at
	work sync.WaitGroup
	// silence is how long a stream may be silent: the server sends a frame every 5 s.
	silence time.Duration

	mu       sync.Mutex
	agents   map[string]*member
	calls    context.Context         // of handlers; set by Run
	stopping bool                    // Run's context has ended, or the server refuses the fleet
	cut      context.CancelCauseFunc // of the stream, when there is one
	refused  error                   // why the server will never accept a stream
	lease    time.Duration
	out      outbox
}

// NewFleet prepares a fleet; Run runs it.
func (c *Client) NewFleet(cfg FleetConfig) *Fleet {
	if cfg.Linger == 0 {
		cfg.Linger = time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Fleet{
		cfg: cfg, rpc: c, wake: make(chan struct{}, 1), silence: silenceMax, agents: map[string]*member{}, lease: defaultLease,
		out: outbox{onWay: map[uint64][]*held{}},
	}
}

// ErrFleetStopped is the answer to an agent that comes after Run has been asked to end.
var ErrFleetStopped = errors.New("the fleet stops; NewFleet makes another")

// Add takes an agent into the fleet, before Run or during it. It is refused when the
// fleet has one of this id, also one that is being removed.
func (f *Fleet) Add(cfg AgentConfig) error {
	if cfg.ID == "" || cfg.Handle == nil || cfg.Capacity < 1 {
		return fmt.Errorf("agent %q: want an id, a handler and a capacity of at least 1, not %d", cfg.ID, cfg.Capacity)
	}
	if unattachable(cfg) {
		return fmt.Errorf("agent %q: id, capabilities and labels must be UTF-8", cfg.ID)
	}
	if cfg.Log == nil {
		cfg.Log = f.cfg.Log
	}
	cfg.Log = cfg.Log.With("agent", cfg.ID)
	m := &member{cfg: cfg, held: map[string]*held{}, removed: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopping {
		return fmt.Errorf("agent %s: %w", cfg.ID, ErrFleetStopped)
	}
	if old := f.agents[cfg.ID]; old != nil {
		return fmt.Errorf("agent %s is in the fleet already (being removed: %t): wait for Remove's channel first", cfg.ID, old.removing)
	}
	f.agents[cfg.ID] = m
	f.touch(m)
	return nil
}

// unattachable tells of what would break the stream that others share.
func unattachable(cfg AgentConfig) bool {
	texts := append([]string{cfg.ID}, cfg.Capabilities...)
	for k, v := range cfg.Labels {
		texts = append(texts, k, v)
	}
	return !allUTF8(texts)
}

// Pause has one agent take no more tasks; what it has in flight goes on. Safe to repeat.
func (f *Fleet) Pause(id string) { f.setPaused(id, true) }

// Resume has it take tasks again. Safe to repeat.
func (f *Fleet) Resume(id string) { f.setPaused(id, false) }

func (f *Fleet) setPaused(id string, paused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.agents[id]; m != nil && m.paused != paused {
		m.paused = paused
		f.touch(m)
	}
}

// Remove has one agent take no more tasks, lets what it has in flight finish for at most
// its Grace, gives the rest back and forgets it; the channel closes then. An id that the
// fleet does not have is removed already.
func (f *Fleet) Remove(id string) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.agents[id]
	if m == nil {
		gone := make(chan struct{})
		close(gone)
		return gone
	}
	f.remove(m)
	return m.removed
}

// Status answers how one agent stands; false when the fleet does not have it.
func (f *Fleet) Status(id string) (AgentStatus, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.agents[id]
	if m == nil {
		return AgentStatus{}, false
	}
	return AgentStatus{Attached: m.standing == joined || m.standing == leaving, Paused: m.paused, InFlight: len(m.held)}, true
}

// Run takes and executes tasks until ctx ends. Then it takes no more, lets what is in
// flight finish for at most each agent's Grace, gives the rest back and returns nil; an
// error means that the server will never accept the fleet. A fleet runs once.
func (f *Fleet) Run(ctx context.Context) error {
	// Calls go on past ctx: leases are renewed and results reported to the end.
	calls, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	f.mu.Lock()
	if f.calls != nil {
		f.mu.Unlock()
		return errors.New("the fleet runs, or has run: NewFleet makes another")
	}
	f.calls = calls
	f.mu.Unlock()
	defer context.AfterFunc(ctx, f.stop)()
	f.streams(calls)
	f.work.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}

// stop removes all agents, and lets none come.
func (f *Fleet) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopping = true
	for _, m := range f.agents {
		f.remove(m)
	}
	f.rouse()
}

// refuse stops the fleet because the server will never accept it.
func (f *Fleet) refuse(err error) {
	f.mu.Lock()
	f.refused = fmt.Errorf("the fleet is refused: %w", err)
	var ended []func()
	for _, m := range f.agents {
		for h := range m.all() {
			if h.report != nil {
				ended = append(ended, f.end(h, errors.Join(h.err, f.refused)))
			}
		}
	}
	f.mu.Unlock()
	each(ended)
	f.stop()
}

func (f *Fleet) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// each calls what was put off until the lock was free.
func each(calls []func()) {
	for _, call := range calls {
		if call != nil {
			call()
		}
	}
}
