package peer

import (
	"context"
	"sync"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/wire"
)

// session is the desk of another replica at a partition of this one: events gather
// until its stream takes them.
type session struct {
	id, home  string
	partition *partition.Partition
	wake      chan struct{}

	mu     sync.Mutex
	seats  map[uint64]*seat
	events []*hivev1.PeerEvent
}

func newSession(id, home string, p *partition.Partition) *session {
	return &session{id: id, home: home, partition: p, wake: make(chan struct{}, 1), seats: map[uint64]*seat{}}
}

// take answers what has gathered.
func (s *session) take() []*hivev1.PeerEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.events
	s.events = nil
	return out
}

// seat answers the sink of a seat, a new one if it is the first time.
func (s *session) seat(n uint64, agent string) *seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seats[n] == nil {
		s.seats[n] = &seat{session: s, n: n, agent: agent}
	}
	return s.seats[n]
}

// grants names the sinks; a seat that has gone is left out.
func (s *session) grants(list []*hivev1.PeerGrant) []partition.Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]partition.Grant, 0, len(list))
	for _, g := range list {
		if at := s.seats[g.GetSeat()]; at != nil {
			out = append(out, partition.Grant{Agent: at.agent, Sink: at, Slots: int(g.GetSlots())})
		}
	}
	return out
}

// leave unseats some; the last that each seat hears is that it has left.
func (s *session) leave(ctx context.Context, list []uint64) error {
	s.mu.Lock()
	seats := make([]*seat, 0, len(list))
	for _, n := range list {
		if at := s.seats[n]; at != nil {
			seats = append(seats, at)
		}
	}
	s.mu.Unlock()
	leaving := make([]partition.Leaving, len(seats))
	for i, at := range seats {
		leaving[i] = partition.Leaving{Agent: at.agent, Sink: at}
	}
	if err := s.partition.Unseat(ctx, leaving); err != nil {
		return err
	}
	for _, at := range seats {
		at.last(&hivev1.PeerEvent{Seat: at.n, What: &hivev1.PeerEvent_Left{Left: true}})
	}
	return nil
}

// end unseats everybody.
func (s *session) end(ctx context.Context) error {
	s.mu.Lock()
	all := make([]uint64, 0, len(s.seats))
	for n := range s.seats {
		all = append(all, n)
	}
	s.mu.Unlock()
	return s.leave(ctx, all)
}

// seat is the sink of one agent of the other replica.
type seat struct {
	*session
	n     uint64
	agent string
}

func (s *seat) tell(e *hivev1.PeerEvent) {
	s.mu.Lock()
	s.events = append(s.events, e)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// last tells e and frees the seat.
func (s *seat) last(e *hivev1.PeerEvent) {
	s.mu.Lock()
	delete(s.seats, s.n)
	s.mu.Unlock()
	s.tell(e)
}

// Seated tells the other replica.
func (s *seat) Seated(lost []partition.Execution) {
	s.tell(&hivev1.PeerEvent{Seat: s.n, What: &hivev1.PeerEvent_Seated{Seated: &hivev1.PeerLost{Lost: wire.ExecutionsToProto(lost)}}})
}

// Assign tells it.
func (s *seat) Assign(list []partition.Assignment) {
	s.tell(&hivev1.PeerEvent{Seat: s.n, What: &hivev1.PeerEvent_Assigned{Assigned: &hivev1.PeerAssignments{Assignments: wire.AssignmentsToProto(list)}}})
}

// Ended tells it.
func (s *seat) Ended(x partition.Execution) {
	s.tell(&hivev1.PeerEvent{Seat: s.n, What: &hivev1.PeerEvent_Ended{Ended: wire.ExecutionToProto(x)}})
}

// Granted tells it.
func (s *seat) Granted(slots int) {
	s.tell(&hivev1.PeerEvent{Seat: s.n, What: &hivev1.PeerEvent_Granted{Granted: uint32(slots)}})
}

// Wanted tells it.
func (s *seat) Wanted(wanted bool) {
	s.tell(&hivev1.PeerEvent{Seat: s.n, What: &hivev1.PeerEvent_Wanted{Wanted: wanted}})
}

// Replaced tells it.
func (s *seat) Replaced() {
	s.last(&hivev1.PeerEvent{Seat: s.n, What: &hivev1.PeerEvent_Replaced{Replaced: true}})
}
