package assignment

import (
	"errors"
	"fmt"
	"sync"

	"github.com/leanvibe/hive/workers/assignment/peer"
)

// standing is what this replica was ordered: to take agents and partitions, or to stand
// aside, which is a drain that can be taken back. Calls it serves either way.
type standing struct {
	mu      sync.Mutex
	aside   bool
	stopped bool   // for good: the process ends
	token   string // the newest order's
}

// order takes an order under the lock, and does it there: two never mix. An order under an
// older token is of a run that has lost its lock.
func (s *standing) order(o *peer.Order, do func(aside bool)) (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
		return false, &peer.OrderError{Reason: "this replica stops: it has handed everything over, and takes nothing any more"}
	case o.Token < s.token:
		return false, &peer.OrderError{Reason: fmt.Sprintf("run %s has lost its lock: run %s has ordered this replica since", o.Token, s.token)}
	}
	s.token = o.Token
	changed, s.aside = s.aside != o.Aside, o.Aside
	if changed {
		do(o.Aside)
	}
	return changed, nil
}

// stop refuses orders from now on.
func (s *standing) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

// err is why this replica is not ready; nil: it stands in its place.
func (s *standing) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aside {
		return errors.New("it was told to drain, and takes no agents and no partitions until it is resumed or starts again")
	}
	return nil
}

// stand takes an order, or with none only looks, and answers how this replica stands.
func (s *service) stand(o *peer.Order) (peer.Standing, error) {
	var changed bool
	if o != nil {
		var err error
		if changed, err = s.standing.order(o, s.setAside); err != nil {
			return peer.Standing{}, err
		}
	}
	return peer.Standing{
		Aside: s.keeper.Aside(), Changed: changed, Agents: s.home.Attached(), Partitions: s.keeper.Owned(),
	}, nil
}

// setAside sends agents and partitions elsewhere, or takes them again.
func (s *service) setAside(aside bool) {
	s.log.Info("ordered", "aside", aside, "agents", s.home.Attached(), "partitions", s.keeper.Owned())
	s.keeper.StandAside(aside)
	if aside {
		s.home.Close()
	} else {
		s.home.Open()
	}
}
