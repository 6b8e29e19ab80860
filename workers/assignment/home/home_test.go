package home

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// place is a partition that seats agents and does what a test says.
type place struct {
	route.Owner
	mu    sync.Mutex
	seats map[string]partition.Sink
	slots map[string]int
	// hold, when set, delays Seat until it is closed; entered tells that it has begun.
	hold, entered chan struct{}
	over          chan struct{}
	held          map[string][]partition.Execution
	released      []partition.Execution
	failure       error // of the next Seat
}

func newPlace() *place {
	return &place{seats: map[string]partition.Sink{}, slots: map[string]int{}, held: map[string][]partition.Execution{}, over: make(chan struct{})}
}

func (p *place) Desk(context.Context) (route.Desk, error) { return p, nil }
func (p *place) Over() <-chan struct{}                    { return p.over }
func (p *place) Close()                                   {}

func (p *place) Seat(_ context.Context, list []partition.Seating) ([]error, error) {
	p.mu.Lock()
	hold, entered := p.hold, p.entered
	p.mu.Unlock()
	if hold != nil {
		close(entered)
		<-hold
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.failure; err != nil {
		p.failure = nil
		return nil, err
	}
	for _, s := range list {
		p.seats[s.ID], p.slots[s.ID], p.held[s.ID] = s.Sink, s.Slots, s.Held
		s.Sink.Seated(nil)
		s.Sink.Granted(s.Slots)
	}
	return make([]error, len(list)), nil
}

func (p *place) Unseat(_ context.Context, list []partition.Leaving) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range list {
		if p.seats[l.Agent] == l.Sink {
			delete(p.seats, l.Agent)
		}
	}
	return nil
}

func (p *place) Grant(_ context.Context, list []partition.Grant) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range list {
		if p.seats[g.Agent] == g.Sink {
			p.slots[g.Agent] = g.Slots
			g.Sink.Granted(g.Slots)
		}
	}
	return nil
}

func (p *place) Release(_ context.Context, _ string, list []partition.Execution) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.released = append(p.released, list...)
	return len(list), nil
}

func (p *place) has(agent string) (slots int, seated bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slots[agent], p.seats[agent] != nil
}

func (p *place) holds(agent string) []partition.Execution {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held[agent]
}

func (p *place) sink(agent string) partition.Sink {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seats[agent]
}

// fail has the next Seat fail.
func (p *place) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failure = err
}

// town is a directory of places.
type town struct {
	mu      sync.Mutex
	places  []*place
	names   []string
	changed chan struct{}
}

func (d *town) Owner(n int) route.Owner {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.places[n] == nil {
		return nil
	}
	return d.places[n]
}

func (d *town) Holder(n int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[n]
}

func (d *town) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

func (d *town) Suspect(int) {}

// move gives a partition another owner, without the former one saying so.
func (d *town) move(n int, name string, to *place) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.places[n], d.names[n] = to, name
	close(d.changed)
	d.changed = make(chan struct{})
}

// line is an agent's stream.
type line struct {
	mu   sync.Mutex
	got  []partition.Assignment
	gone []Reason
}

func (l *line) Assign(list []partition.Assignment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, list...)
}
func (l *line) assigned() []partition.Assignment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got
}
func (l *line) Lost([]partition.Execution) {}
func (l *line) Gone(why Reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = append(l.gone, why)
}

func open(t *testing.T, places ...*place) (*Home, *town) {
	t.Helper()
	return openFor(t, time.Millisecond, places...)
}

// openFor opens a home that listens to a former owner for so long.
func openFor(t *testing.T, words time.Duration, places ...*place) (*Home, *town) {
	t.Helper()
	d := &town{places: places, changed: make(chan struct{})}
	for range places {
		d.names = append(d.names, "first")
	}
	h := New(Options{Name: "here", Router: &route.Router{Partitions: len(places), Directory: d}, Log: slog.New(slog.DiscardHandler)})
	h.lastWords, h.rest = words, 5*time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = h.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	for n := range places {
		require.Eventually(t, func() bool { return places[n] == nil || h.desk(n) != nil }, patience, time.Millisecond)
	}
	return h, d
}

func attach(t *testing.T, h *Home, id string, capacity int) (*Guest, *line) {
	t.Helper()
	l := &line{}
	got := h.Attach(t.Context(), []Arrival{{AgentSpec: partition.AgentSpec{ID: id, Capacity: capacity}, Stream: l}})
	require.NoError(t, got[0].Err)
	return got[0].Guest, l
}

func TestHome_SlotsGoWhereTasksWait(t *testing.T) {
	a, b := newPlace(), newPlace()
	h, _ := open(t, a, b)
	attach(t, h, "agent", 2)
	has := func(p *place, want int) func() bool {
		return func() bool { got, seated := p.has("agent"); return seated && got == want }
	}
	require.Eventually(t, has(a, 1), patience, time.Millisecond)
	require.Eventually(t, has(b, 1), patience, time.Millisecond)
	sink := b.sink("agent")
	sink.Wanted(true)
	require.Eventually(t, has(a, 0), patience, time.Millisecond)
	require.Eventually(t, has(b, 2), patience, time.Millisecond)
}

// An agent that attached while a partition had no owner gets slots there, too, once it has
// one, though nothing waits there.
func TestHome_IdleSlotsAreLevelled(t *testing.T) {
	a, late := newPlace(), newPlace()
	h, d := open(t, a, nil)
	attach(t, h, "agent", 4)
	require.Eventually(t, func() bool { slots, _ := a.has("agent"); return slots == 4 }, patience, time.Millisecond)
	d.move(1, "second", late)
	require.Eventually(t, func() bool { slots, _ := late.has("agent"); return slots == 2 }, patience, time.Millisecond)
	slots, _ := a.has("agent")
	require.Equal(t, 2, slots)
}

// A partition that has moved is followed though its former owner does not say that it has ended.
func TestHome_FollowsThePartition(t *testing.T) {
	a, next := newPlace(), newPlace()
	h, d := open(t, a)
	attach(t, h, "agent", 3)
	require.Eventually(t, func() bool { got, _ := a.has("agent"); return got == 3 }, patience, time.Millisecond)
	d.move(0, "second", next)
	require.Eventually(t, func() bool { got, seated := next.has("agent"); return seated && got == 3 }, patience, time.Millisecond)
}

// What a former owner assigned is heard before the next one seats the agents, and told it.
func TestHome_HearsTheFormerOwnerOut(t *testing.T) {
	a, next := newPlace(), newPlace()
	h, d := openFor(t, patience, a)
	_, l := attach(t, h, "agent", 1)
	sink := a.sink("agent")
	d.move(0, "second", next)
	x := partition.Execution{Attempt: 1}
	sink.Assign([]partition.Assignment{{Execution: x}})
	_, seated := next.has("agent")
	require.False(t, seated, "the former owner has not ended yet")
	close(a.over)
	require.Eventually(t, func() bool { _, seated := next.has("agent"); return seated }, patience, time.Millisecond)
	require.Equal(t, []partition.Execution{x}, next.holds("agent"))
	require.Equal(t, []partition.Assignment{{Execution: x}}, l.assigned())
}

// Where a partition did not answer who is seated there, everybody is seated anew.
func TestHome_SeatsAnewAfterAnError(t *testing.T) {
	a := newPlace()
	h, _ := open(t, a)
	attach(t, h, "first", 1)
	a.fail(errors.New("no answer"))
	got := h.Attach(t.Context(), []Arrival{{AgentSpec: partition.AgentSpec{ID: "second", Capacity: 1}, Stream: &line{}}})
	require.NoError(t, got[0].Err)
	require.Eventually(t, func() bool { slots, seated := a.has("second"); return seated && slots == 1 }, patience, time.Millisecond)
}

// An agent that leaves while a new owner is just seating everybody is not left seated there:
// nobody would ever do what it was given.
func TestHome_LeavesWhileSeated(t *testing.T) {
	a, next := newPlace(), newPlace()
	h, d := open(t, a)
	g, _ := attach(t, h, "agent", 1)
	next.hold, next.entered = make(chan struct{}), make(chan struct{})
	d.move(0, "second", next)
	<-next.entered
	h.Leave(t.Context(), []*Guest{g})
	close(next.hold)
	require.Eventually(t, func() bool { _, seated := next.has("agent"); return !seated && h.desk(0) == route.Desk(next) }, patience, time.Millisecond)
	require.Zero(t, h.Attached())
}

// What comes for an agent that has gone is given back, and does not come again.
func TestHome_GivesBack(t *testing.T) {
	a := newPlace()
	h, _ := open(t, a)
	g, l := attach(t, h, "agent", 1)
	sink := a.sink("agent")
	g.end() // its stream broke, and nobody has told the partition yet
	x := partition.Execution{Attempt: 1}
	sink.Assign([]partition.Assignment{{Execution: x}})
	require.Eventually(t, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.released) == 1 && a.seats["agent"] == nil
	}, patience, time.Millisecond)
	require.Empty(t, l.got)
}

func TestHome_Replaced(t *testing.T) {
	a, b := newPlace(), newPlace()
	h, _ := open(t, a, b)
	_, l := attach(t, h, "agent", 1)
	sink := a.sink("agent")
	sink.Replaced()
	require.Equal(t, []Reason{Replaced}, l.gone)
	require.Eventually(t, func() bool { _, seated := b.has("agent"); return !seated && h.Attached() == 0 }, patience, time.Millisecond)
	h.Close()
	require.ErrorIs(t, h.Attach(t.Context(), []Arrival{{AgentSpec: partition.AgentSpec{ID: "late", Capacity: 1}, Stream: &line{}}})[0].Err, ErrClosed)
}
