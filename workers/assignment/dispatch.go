package assignment

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// dispatcher holds the streams of this replica's agents and the clients that
// wait for tasks to finish, and wakes them on events.
type dispatcher struct {
	machine  *Machine
	metrics  *metrics
	log      *slog.Logger
	instance string

	draining chan struct{}
	drain    sync.Once

	mu       sync.Mutex
	sessions map[string]*session
	waiters  map[string][]chan struct{}
	ended    sync.WaitGroup
}

func newDispatcher(m *Machine, met *metrics, log *slog.Logger, instance string) *dispatcher {
	return &dispatcher{
		machine: m, metrics: met, log: log, instance: instance,
		draining: make(chan struct{}),
		sessions: map[string]*session{},
		waiters:  map[string][]chan struct{}{},
	}
}

// attach serves one agent's stream until it ends.
func (d *dispatcher) attach(ctx context.Context, a *Attachment, sink Sink) error {
	s := &session{
		Attachment: *a, id: uuid.NewString(), machine: d.machine, metrics: d.metrics,
		log: d.log, sink: sink, wake: make(chan struct{}, 1),
	}
	s.idleSince.Store(time.Now().UnixNano())
	if !d.add(s) {
		return sink.Goodbye(EndDraining)
	}
	defer d.remove(s)
	lost, err := d.machine.Attach(ctx, a, Stream{Session: s.id, Instance: d.instance})
	if err != nil {
		return err
	}
	defer d.gone(ctx, s)
	if err := sink.Attached(s.id, lost); err != nil {
		return err
	}
	d.log.Info("agent attached", "agent", a.Agent, "session", s.id, "capacity", a.Capacity, "held", len(a.Held), "lost", len(lost))
	err = s.serve(ctx, d.draining)
	d.log.Info("agent left", "agent", a.Agent, "session", s.id, "cause", err)
	return err
}

// add registers the stream, unless the replica drains.
func (d *dispatcher) add(s *session) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.draining:
		return false
	default:
	}
	d.sessions[s.id] = s
	d.ended.Add(1)
	d.metrics.agents.Inc()
	return true
}

func (d *dispatcher) remove(s *session) {
	d.mu.Lock()
	delete(d.sessions, s.id)
	d.mu.Unlock()
	d.metrics.agents.Dec()
	d.ended.Done()
}

// gone records that the stream has ended.
func (d *dispatcher) gone(ctx context.Context, s *session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupMax)
	defer cancel()
	if _, err := d.machine.Release(ctx, s.Agent, s.id, nil); err != nil {
		d.log.Warn("could not record the end of a stream", "agent", s.Agent, "error", err)
	}
}

// stop ends all streams in order and waits for their end: agents attach again
// elsewhere and name what they hold.
func (d *dispatcher) stop(ctx context.Context) {
	d.drain.Do(func() {
		d.mu.Lock()
		close(d.draining)
		d.mu.Unlock()
	})
	done := make(chan struct{})
	go func() { d.ended.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

func (d *dispatcher) events() Events {
	return Events{Waiting: d.taskWaits, Agent: d.agentChanged, Finished: d.taskFinished}
}

// taskWaits wakes one agent that can take the task: the one with most free
// slots, ties to the longest idle. Should it lose the race, polling catches up.
func (d *dispatcher) taskWaits(shape []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var best *session
	for _, s := range d.sessions {
		if s.free.Load() > 0 && s.fits(shape) && (best == nil || s.before(best)) {
			best = s
		}
	}
	if best != nil {
		// One less until the claim says what is true: a burst spreads over agents.
		best.free.Add(-1)
		best.nudge()
	}
}

func (s *session) fits(shape []string) bool {
	for _, c := range shape {
		if _, ok := slices.BinarySearch(s.Capabilities, c); !ok {
			return false
		}
	}
	return true
}

func (s *session) before(o *session) bool {
	if a, b := s.free.Load(), o.free.Load(); a != b {
		return a > b
	}
	return s.idleSince.Load() < o.idleSince.Load()
}

func (d *dispatcher) agentChanged(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sessions {
		if s.Agent == id {
			s.nudge()
		}
	}
}

func (d *dispatcher) taskFinished(id string) {
	d.mu.Lock()
	waiters := d.waiters[id]
	delete(d.waiters, id)
	d.mu.Unlock()
	for _, w := range waiters {
		close(w)
	}
}

// await answers a channel that closes when the task finishes, as far as events
// tell; forget must be called once.
func (d *dispatcher) await(id string) (finished <-chan struct{}, forget func()) {
	w := make(chan struct{})
	d.mu.Lock()
	d.waiters[id] = append(d.waiters[id], w)
	d.mu.Unlock()
	return w, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		left := slices.DeleteFunc(d.waiters[id], func(o chan struct{}) bool { return o == w })
		if len(left) == 0 {
			delete(d.waiters, id)
		} else {
			d.waiters[id] = left
		}
	}
}
