package peer

import (
	"context"
	"sync"
	"time"

	"connectrpc.com/connect"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/route"
	"github.com/leanvibe/hive/workers/assignment/wire"
)

// desk is this replica's desk at another one's partition.
type desk struct {
	*owner
	session string
	over    chan struct{}
	close   context.CancelFunc

	mu    sync.Mutex
	last  uint64
	sinks map[uint64]partition.Sink
	seats map[partition.Sink]uint64
}

// Desk opens a desk. It lasts as long as its stream, not as long as ctx.
func (o *owner) Desk(ctx context.Context) (route.Desk, error) {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	impatient := time.AfterFunc(watchFirst, stop)
	stream, err := o.rpc.Watch(life, connect.NewRequest(&hivev1.PeerRequest{Partition: o.n, Home: o.home}))
	if err != nil {
		stop()
		return nil, wire.Refused(ctx, err)
	}
	if !stream.Receive() || !impatient.Stop() {
		err := stream.Err()
		stop()
		_ = stream.Close()
		if err == nil {
			err = partition.ErrLost
		}
		return nil, wire.Refused(ctx, err)
	}
	d := &desk{owner: o, session: stream.Msg().GetSession(), over: make(chan struct{}), close: stop, sinks: map[uint64]partition.Sink{}, seats: map[partition.Sink]uint64{}}
	go func() {
		defer close(d.over)
		defer stream.Close()
		defer stop()
		for stream.Receive() {
			for _, e := range stream.Msg().GetEvents() {
				d.tell(e)
			}
		}
	}()
	return d, nil
}

// tell passes an event on to the agent's sink.
func (d *desk) tell(e *hivev1.PeerEvent) {
	d.mu.Lock()
	sink := d.sinks[e.GetSeat()]
	if e.GetReplaced() || e.GetLeft() {
		delete(d.sinks, e.GetSeat())
		delete(d.seats, sink)
	}
	d.mu.Unlock()
	if sink == nil {
		return // of a seat that was refused
	}
	switch what := e.GetWhat().(type) {
	case *hivev1.PeerEvent_Seated:
		sink.Seated(wire.ExecutionsOf(what.Seated.GetLost()))
	case *hivev1.PeerEvent_Assigned:
		sink.Assign(wire.AssignmentsOf(what.Assigned.GetAssignments()))
	case *hivev1.PeerEvent_Ended:
		sink.Ended(wire.ExecutionOf(what.Ended))
	case *hivev1.PeerEvent_Granted:
		sink.Granted(int(what.Granted))
	case *hivev1.PeerEvent_Wanted:
		sink.Wanted(what.Wanted)
	case *hivev1.PeerEvent_Replaced:
		sink.Replaced()
	}
}

// Seat attaches agents there.
func (d *desk) Seat(ctx context.Context, list []partition.Seating) ([]error, error) {
	in := &hivev1.PeerSeatRequest{Partition: d.n, Session: d.session, Seatings: make([]*hivev1.PeerSeating, len(list))}
	d.mu.Lock()
	for i := range list {
		in.Seatings[i] = wire.SeatingToProto(&list[i])
		in.Seatings[i].Seat = d.seat(list[i].Sink)
	}
	d.mu.Unlock()
	r, err := ask(ctx, 0, d.rpc.Seat, in)
	if err != nil {
		return nil, err
	}
	if len(r.GetRefused()) != len(list) {
		return nil, partition.ErrLost
	}
	out := make([]error, len(list))
	for i, refused := range r.GetRefused() {
		out[i] = wire.RefusalOf(refused)
	}
	return out, nil
}

// seat answers the number of a sink's seat, a new one if it is the first time.
func (d *desk) seat(sink partition.Sink) uint64 {
	if d.seats[sink] == 0 {
		d.last++
		d.seats[sink], d.sinks[d.last] = d.last, sink
	}
	return d.seats[sink]
}

// Unseat detaches agents there. What comes for them afterwards is nobody's.
func (d *desk) Unseat(ctx context.Context, list []partition.Leaving) error {
	in := &hivev1.PeerUnseatRequest{Partition: d.n, Session: d.session}
	d.mu.Lock()
	for _, l := range list {
		if seat := d.seats[l.Sink]; seat != 0 {
			in.Seats = append(in.Seats, seat)
		}
	}
	d.mu.Unlock()
	if len(in.Seats) == 0 {
		return nil
	}
	_, err := ask(ctx, 0, d.rpc.Unseat, in)
	return err
}

// Grant sets slots there.
func (d *desk) Grant(ctx context.Context, list []partition.Grant) error {
	in := &hivev1.PeerGrantRequest{Partition: d.n, Session: d.session}
	d.mu.Lock()
	for _, g := range list {
		if seat := d.seats[g.Sink]; seat != 0 {
			in.Grants = append(in.Grants, &hivev1.PeerGrant{Seat: seat, Slots: uint32(g.Slots)})
		}
	}
	d.mu.Unlock()
	_, err := ask(ctx, 0, d.rpc.Grant, in)
	return err
}

// Over is closed when the stream has ended.
func (d *desk) Over() <-chan struct{} { return d.over }

// Close ends the stream, and with it the desk.
func (d *desk) Close() { d.close() }
