package home

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/route"
	"github.com/leanvibe/hive/workers/assignment/wire"
)

// ErrClosed says that this replica takes no agents any more; another one does.
var ErrClosed = errors.New("this replica takes no agents any more: attach at another")

// Options describe this replica.
type Options struct {
	// Name is the replica's, for lists of agents.
	Name   string
	Router *route.Router
	Log    *slog.Logger
}

const (
	// arriveMost bounds the wait for partitions when an agent attaches: at one that is on
	// its way to another owner it is seated later.
	arriveMost = 2 * time.Second
	// callMost bounds what is asked of a partition on an agent's behalf.
	callMost = 5 * time.Second
	// takeTurns is how long a partition keeps a slot that others want too.
	takeTurns = 100 * time.Millisecond
	// levelPause is how long slots may lie idle unevenly.
	levelPause = time.Second
	// seatMost bounds the agents in one call.
	seatMost = 500
	// askAgain is the pause before the next owner of a partition is looked for.
	askAgain = 50 * time.Millisecond
	// lastWordsMost is how long a partition's former owner is listened to when the next one
	// is known: it hands over in milliseconds, or does not know yet that it has lost.
	lastWordsMost = 500 * time.Millisecond
	// closeMost bounds the wait for the end of a desk that was closed.
	closeMost = time.Second
)

// Home holds the agents that are attached to this replica.
type Home struct {
	opts      Options
	wake      chan struct{}
	lastWords time.Duration // lastWordsMost, but in tests
	rest      time.Duration // levelPause, but in tests

	mu     sync.Mutex
	guests map[string]*Guest
	closed bool
	desks  []desk
	// arrived is closed and renewed when a guest is seated somewhere.
	arrived chan struct{}

	dirtyMu sync.Mutex
	dirty   map[*Guest]struct{}
}

// desk is where the guests are seated at one partition.
type desk struct {
	route.Desk // nil: the partition has no owner that is known
	// asks are the grants that wait to be sent, the last one for each seat.
	asks map[*seat]struct{}
	wake chan struct{}
	// anew is told when it is not known who sits there: everybody is seated anew.
	anew chan struct{}
}

// New prepares a Home; Run runs it.
func New(opts Options) *Home {
	h := &Home{
		opts: opts, wake: make(chan struct{}, 1), lastWords: lastWordsMost, rest: levelPause, guests: map[string]*Guest{},
		desks: make([]desk, opts.Router.Partitions), arrived: make(chan struct{}), dirty: map[*Guest]struct{}{},
	}
	for n := range h.desks {
		h.desks[n] = desk{asks: map[*seat]struct{}{}, wake: make(chan struct{}, 1), anew: make(chan struct{}, 1)}
	}
	return h
}

// Run keeps a desk at every partition and moves slots until ctx ends.
func (h *Home) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	for n := range h.desks {
		loops.Go(func() { h.tend(ctx, n) })
	}
	h.settle(ctx)
	loops.Wait()
	return nil
}

// An Arrival is an agent that attaches.
type Arrival struct {
	partition.AgentSpec
	Held   []partition.Execution
	Stream Stream
}

// An Arrived answers an Arrival. Err is ErrClosed or a *partition.BusyError, or one of
// another replica: the agent is not attached.
type Arrived struct {
	Guest *Guest
	Lost  []partition.Execution
	Err   error
}

// Attach takes agents in, each in place of its former stream here or elsewhere. It returns
// when they are seated at every partition that has an owner; assignments come from then on.
func (h *Home) Attach(ctx context.Context, list []Arrival) []Arrived {
	out := make([]Arrived, len(list))
	guests := make([]*Guest, 0, len(list))
	h.mu.Lock()
	for i, in := range list {
		if h.closed {
			out[i].Err = ErrClosed
			continue
		}
		g := newGuest(h, in)
		if old := h.guests[in.ID]; old != nil && old.end() {
			old.stream.Gone(Replaced)
		}
		h.guests[in.ID] = g
		out[i].Guest = g
		guests = append(guests, g)
	}
	h.mu.Unlock()
	refused := h.seatAll(ctx, guests)
	for i := range out {
		g := out[i].Guest
		if g == nil {
			continue
		}
		if err := refused[g]; err != nil {
			h.Leave(ctx, []*Guest{g})
			out[i] = Arrived{Err: err}
			continue
		}
		g.mu.Lock()
		out[i].Lost, g.lost, g.welcome = g.lost, nil, true
		g.mu.Unlock()
		h.touch(g)
	}
	return out
}

// seatAll seats guests at every desk and waits until they have heard of it.
func (h *Home) seatAll(ctx context.Context, guests []*Guest) map[*Guest]error {
	ctx, cancel := context.WithTimeout(ctx, arriveMost)
	defer cancel()
	var mu sync.Mutex
	refused := map[*Guest]error{}
	var calls sync.WaitGroup
	for n := range h.desks {
		calls.Go(func() {
			at := h.desk(n)
			if at == nil {
				return
			}
			some, err := h.seat(ctx, at, n, guests)
			if err != nil {
				nudge(h.desks[n].anew)
			}
			mu.Lock()
			maps.Copy(refused, some)
			mu.Unlock()
			for _, g := range guests {
				h.await(ctx, g, n)
			}
		})
	}
	calls.Wait()
	return refused
}

func (h *Home) desk(n int) route.Desk {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.desks[n].Desk
}

// seat seats guests at one desk and answers who was refused. An error says that it is not
// known who sits there now, which is no refusal: tend asks again, there or at the next owner.
func (h *Home) seat(ctx context.Context, at route.Desk, n int, guests []*Guest) (map[*Guest]error, error) {
	refused := map[*Guest]error{}
	for from := 0; from < len(guests); from += seatMost {
		var some []*Guest
		var list []partition.Seating
		for _, g := range guests[from:min(len(guests), from+seatMost)] {
			g.mu.Lock()
			if !g.leaving {
				some, list = append(some, g), append(list, g.seats[n].seating())
			}
			g.mu.Unlock()
		}
		var answers []error
		if err := patiently(ctx, func() (err error) {
			answers, err = at.Seat(ctx, list)
			return err
		}); err != nil {
			return refused, err
		}
		var late []partition.Leaving
		for i, err := range answers {
			switch {
			case err != nil:
				refused[some[i]] = err
			case some[i].isLeaving(): // its unseating may have come before
				late = append(late, some[i].seats[n].leaving())
			}
		}
		if len(late) > 0 {
			_ = at.Unseat(ctx, late) // it fails with the partition, or once more in Assign
		}
	}
	return refused, nil
}

// patiently repeats what a partition is too busy for, until ctx ends.
func patiently(ctx context.Context, do func() error) error {
	for {
		err := do()
		if wire.KindOf(err) != wire.Busy {
			return err
		}
		pause := time.NewTimer(askAgain)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// await waits until a guest has heard that it is seated, its desk has gone, or ctx ends.
func (h *Home) await(ctx context.Context, g *Guest, n int) {
	for {
		h.mu.Lock()
		arrived, at := h.arrived, h.desks[n].Desk
		h.mu.Unlock()
		g.mu.Lock()
		done := g.seats[n].open || g.left
		g.mu.Unlock()
		if done || at == nil {
			return
		}
		select {
		case <-arrived:
		case <-at.Over():
			return
		case <-ctx.Done():
			return
		}
	}
}

// seated wakes those who await.
func (h *Home) seated() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.arrived)
	h.arrived = make(chan struct{})
}

// touch has a guest's slots looked at soon.
func (h *Home) touch(g *Guest) {
	h.dirtyMu.Lock()
	h.dirty[g] = struct{}{}
	h.dirtyMu.Unlock()
	nudge(h.wake)
}

func nudge(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// settle moves slots as long as ctx lasts.
func (h *Home) settle(ctx context.Context) {
	turns := time.NewTicker(takeTurns)
	defer turns.Stop()
	rests := time.NewTicker(h.rest)
	defer rests.Stop()
	contended := map[*Guest]struct{}{}
	for {
		var due map[*Guest]struct{}
		select {
		case <-ctx.Done():
			return
		case <-turns.C:
			due = contended
			for g := range due {
				g.mu.Lock()
				g.turn++
				g.mu.Unlock()
			}
			contended = map[*Guest]struct{}{}
		case <-rests.C:
			for _, g := range h.everybody() {
				h.grant(g.level())
			}
		case <-h.wake:
			h.dirtyMu.Lock()
			due, h.dirty = h.dirty, map[*Guest]struct{}{}
			h.dirtyMu.Unlock()
		}
		for g := range due {
			changed, more := g.split()
			if more {
				contended[g] = struct{}{}
			}
			h.grant(changed)
		}
	}
}

// grant has partitions asked for what a guest's seats are to have.
func (h *Home) grant(changed []*seat) {
	if len(changed) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range changed {
		h.desks[s.n].asks[s] = struct{}{}
		nudge(h.desks[s.n].wake)
	}
}

// giveBack returns executions that came for an agent that has gone, and unseats it where
// they came from: else they would come again.
func (h *Home) giveBack(s *seat, list []partition.Assignment) {
	back := make([]partition.Execution, len(list))
	for i, a := range list {
		back[i] = a.Execution
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), callMost)
		defer cancel()
		agent := s.guest.spec.ID
		var unseated error
		if at := h.desk(s.n); at != nil {
			unseated = at.Unseat(ctx, []partition.Leaving{s.leaving()})
		}
		_, err := route.Ask(ctx, h.opts.Router, s.n, func(ctx context.Context, o route.Owner) (int, error) {
			return o.Release(ctx, agent, back)
		})
		if err != nil {
			h.opts.Log.Warn("could not give tasks back; their leases will run out", "agent", agent, "tasks", len(back), "error", errors.Join(err, unseated))
		}
	}()
}

// forget takes a guest off the list, unless the agent has attached again.
func (h *Home) forget(g *Guest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.guests[g.spec.ID] == g {
		delete(h.guests, g.spec.ID)
	}
}

// Attached answers how many agents are attached here.
func (h *Home) Attached() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.guests)
}

// Close takes no agents until Open, and says Draining to those that are here.
func (h *Home) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.Dismiss()
}

// Open takes agents again.
func (h *Home) Open() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = false
}

// Dismiss says Draining to every agent that is here: this replica has lost its place, and
// others serve them better.
func (h *Home) Dismiss() {
	for _, g := range h.everybody() {
		g.stream.Gone(Draining)
	}
}

// everybody answers who is attached now.
func (h *Home) everybody() []*Guest {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.guests))
}

// Leave detaches guests everywhere. What was assigned to them before has come to their
// streams when Leave returns, as far as the partitions answer; what they hold is left to
// their leases.
func (h *Home) Leave(ctx context.Context, guests []*Guest) {
	ctx, cancel := context.WithTimeout(ctx, callMost)
	defer cancel()
	for _, g := range guests {
		g.leave()
	}
	var calls sync.WaitGroup
	for n := range h.desks {
		calls.Go(func() {
			at := h.desk(n)
			if at == nil {
				return
			}
			leaving := make([]partition.Leaving, len(guests))
			for i, g := range guests {
				leaving[i] = g.seats[n].leaving()
			}
			err := patiently(ctx, func() error { return at.Unseat(ctx, leaving) })
			if err != nil && wire.KindOf(err) != wire.Lost {
				h.opts.Log.Warn("could not detach agents; they get nothing once they have been silent for a lease term", "agents", len(guests), "partition", n, "error", err)
			}
		})
	}
	calls.Wait()
	for _, g := range guests {
		g.end()
		h.forget(g)
	}
}

// Drop detaches guests whose stream has broken: what comes for them from now on is given back.
func (h *Home) Drop(ctx context.Context, guests []*Guest) {
	for _, g := range guests {
		g.end()
	}
	h.Leave(ctx, guests)
}
