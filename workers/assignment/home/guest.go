package home

import (
	"context"
	"sync"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// A Reason is why the home ends an agent's stream.
type Reason int

// The reasons.
const (
	// Draining: this replica stops, or has lost its place; another one answers.
	Draining Reason = iota
	// Replaced: the agent has attached again.
	Replaced
)

// A Stream is the agent's end. Its methods must not block.
type Stream interface {
	Assign([]partition.Assignment)
	// Lost says what the agent does not hold any more, though it was not told before.
	Lost([]partition.Execution)
	// Gone is the last.
	Gone(Reason)
}

// Guest is an agent that is attached here.
type Guest struct {
	home   *Home
	spec   partition.AgentSpec
	stream Stream

	mu    sync.Mutex
	seats []seat // by partition
	// leaving: nobody seats it any more; left: what comes for it is given back.
	leaving, left bool
	lost          []partition.Execution // until it is welcome
	// welcome: Attach has answered, so that what is lost from now on is told by the stream.
	welcome bool
	turn    int
}

// seat is a guest's place at one partition, and the sink that hears of it.
type seat struct {
	guest *Guest
	n     int

	open, wanted   bool
	asked, granted int
	runs           map[partition.TaskID]int // attempt by task
}

func newGuest(h *Home, in Arrival) *Guest {
	g := &Guest{home: h, spec: in.AgentSpec, stream: in.Stream, seats: make([]seat, h.opts.Router.Partitions)}
	for n := range g.seats {
		g.seats[n].guest, g.seats[n].n = g, n
	}
	for _, x := range in.Held {
		n, known := h.opts.Router.OfTask(x.Task)
		if !known {
			g.lost = append(g.lost, x)
			continue
		}
		g.seats[n].run(x)
	}
	return g
}

func (s *seat) run(x partition.Execution) {
	if s.runs == nil {
		s.runs = map[partition.TaskID]int{}
	}
	s.runs[x.Task] = x.Attempt
}

// seating is the seat as the partition is asked for it; the guest's lock is held.
func (s *seat) seating() partition.Seating {
	held := make([]partition.Execution, 0, len(s.runs))
	for id, attempt := range s.runs {
		held = append(held, partition.Execution{Task: id, Attempt: attempt})
	}
	return partition.Seating{AgentSpec: s.guest.spec, Slots: s.asked, Held: held, Sink: s, Home: s.guest.home.opts.Name}
}

func (s *seat) leaving() partition.Leaving { return partition.Leaving{Agent: s.guest.spec.ID, Sink: s} }

// split asks anew for slots and answers the seats whose ask has changed, and whether some
// partition wants the guest and must wait for its turn.
func (g *Guest) split() (changed []*seat, contended bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	views := g.views()
	changed = g.ask(split(g.spec.Capacity, views, g.turn))
	for n := range views {
		contended = contended || views[n].Open && views[n].Wanted && g.seats[n].asked == 0
	}
	return changed, contended
}

// level gives slots up that lie idle unevenly, and answers the seats whose ask has changed.
func (g *Guest) level() (changed []*seat) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ask(level(g.spec.Capacity, g.views()))
}

// views are what its partitions have of the guest's slots, none while it is not to get any;
// its lock is held.
func (g *Guest) views() []view {
	if g.left || !g.welcome {
		return nil
	}
	views := make([]view, len(g.seats))
	for n := range g.seats {
		s := &g.seats[n]
		views[n] = view{
			Open: s.open, Asked: s.asked, Ceiling: max(s.asked, s.granted, len(s.runs)), Running: len(s.runs), Wanted: s.wanted,
		}
	}
	return views
}

// ask notes how many slots each partition should have and answers the seats that change;
// the guest's lock is held.
func (g *Guest) ask(asks []int) (changed []*seat) {
	for n, ask := range asks {
		if s := &g.seats[n]; s.asked != ask {
			s.asked = ask
			changed = append(changed, s)
		}
	}
	return changed
}

// unsettled tells whether the guest's slots may have to move; its lock is held.
func (g *Guest) unsettled() bool {
	asked := 0
	for n := range g.seats {
		if g.seats[n].wanted {
			return true
		}
		asked += g.seats[n].asked
	}
	return asked < g.spec.Capacity
}

// Seated is told by the partition.
func (s *seat) Seated(lost []partition.Execution) {
	g := s.guest
	g.mu.Lock()
	s.open, s.wanted = true, false
	gone := make([]partition.Execution, 0, len(lost))
	for _, x := range lost {
		if s.runs[x.Task] == x.Attempt {
			delete(s.runs, x.Task)
			gone = append(gone, x)
		}
	}
	switch {
	case !g.welcome:
		g.lost = append(g.lost, gone...)
	case len(gone) > 0 && !g.left:
		g.stream.Lost(gone)
	}
	g.mu.Unlock()
	g.home.seated() // without the guest's lock: the home's comes before it
	g.home.touch(g)
}

// Assign is told by the partition.
func (s *seat) Assign(list []partition.Assignment) {
	g := s.guest
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left {
		g.home.giveBack(s, list)
		return
	}
	for _, a := range list {
		s.run(a.Execution)
	}
	g.stream.Assign(list)
}

// Ended is told by the partition.
func (s *seat) Ended(x partition.Execution) {
	g := s.guest
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.runs[x.Task] == x.Attempt {
		delete(s.runs, x.Task)
	}
	if g.unsettled() {
		g.home.touch(g)
	}
}

// Granted is told by the partition.
func (s *seat) Granted(slots int) {
	g := s.guest
	g.mu.Lock()
	defer g.mu.Unlock()
	s.granted = slots
	if g.unsettled() {
		g.home.touch(g)
	}
}

// Wanted is told by the partition.
func (s *seat) Wanted(wanted bool) {
	g := s.guest
	g.mu.Lock()
	defer g.mu.Unlock()
	s.wanted = wanted
	g.home.touch(g)
}

// Replaced is told by the partition: the agent has attached at another home.
func (s *seat) Replaced() {
	if s.guest.end() {
		s.guest.stream.Gone(Replaced)
		go s.guest.home.Leave(context.Background(), []*Guest{s.guest}) // the others may not know yet
	}
}

// end marks the guest as gone; false when it was already.
func (g *Guest) end() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.left
	g.leaving, g.left = true, true
	return !was
}

// leave has nobody seat the guest any more.
func (g *Guest) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leaving = true
}

func (g *Guest) isLeaving() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.leaving
}
