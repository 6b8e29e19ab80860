package peer

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// An Order says whether a replica is to take agents and partitions.
type Order struct {
	// Token is of the lock under which it is ordered: it grows.
	Token string
	Aside bool
}

// A Standing is how a replica stands.
type Standing struct {
	// Aside: it takes no agents and no partitions. Changed: the order has made it so.
	Aside, Changed bool
	// Agents and Partitions are how many it has now.
	Agents, Partitions int
}

// An OrderError is an order that a replica does not take, and will not.
type OrderError struct{ Reason string }

func (e *OrderError) Error() string { return e.Reason }

// Stand takes an order, and answers how this replica stands.
func (s *Server) Stand(_ context.Context, r *connect.Request[hivev1.PeerStandRequest]) (*connect.Response[hivev1.PeerStandResponse], error) {
	var order *Order
	if o := r.Msg.GetOrder(); o != nil {
		order = &Order{o.GetToken(), o.GetAside()}
	}
	got, err := s.Standing(order)
	var refused *OrderError
	if errors.As(err, &refused) {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	return answer(&hivev1.PeerStandResponse{
		Aside: got.Aside, Changed: got.Changed, Agents: uint32(got.Agents), Partitions: uint32(got.Partitions),
	}, err)
}

// Stand orders that replica to stand aside or in its place, or with a nil order only asks.
// An error is an *OrderError, or says that it cannot be reached.
func (c *Client) Stand(ctx context.Context, order *Order) (Standing, error) {
	in := &hivev1.PeerStandRequest{}
	if order != nil {
		in.Order = &hivev1.PeerStandOrder{Token: order.Token, Aside: order.Aside}
	}
	limited, cancel := context.WithTimeout(ctx, askMost)
	defer cancel()
	r, err := c.rpc.Stand(limited, connect.NewRequest(in))
	var said *connect.Error
	switch {
	case err == nil:
		m := r.Msg
		return Standing{m.GetAside(), m.GetChanged(), int(m.GetAgents()), int(m.GetPartitions())}, nil
	case errors.As(err, &said) && said.Code() == connect.CodeFailedPrecondition:
		return Standing{}, &OrderError{said.Message()}
	case errors.As(err, &said) && said.Code() == connect.CodeUnimplemented:
		return Standing{}, &OrderError{"its version cannot stand aside; SIGTERM drains it"}
	}
	return Standing{}, fmt.Errorf("the replica does not answer: %w", err)
}
