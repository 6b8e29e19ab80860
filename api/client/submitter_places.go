package client

import (
	"strings"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/place"
)

// partitionsMost is what a server may have.
const partitionsMost = 1 << 15

// laneOf answers the lane of a queue's drafts; s.mu is held.
func (s *Submitter) laneOf(queue string) *lane {
	if len(s.places) > 0 {
		if l := s.places[place.Of(queue, len(s.places))]; l != nil && l.up {
			return l
		}
	}
	return s.base
}

// placed takes over where each partition is served, as a replica has told it on a stream of
// from. The newest word counts, whoever says it: where it is wrong the replica there sends
// the drafts on.
func (s *Submitter) placed(from *lane, told *hivev1.Places) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-from.left:
		return // others know better already
	default:
	}
	from.up = true
	if told.GetPartitions() > partitionsMost {
		return
	}
	owners := map[string]*lane{}
	places := make([]*lane, told.GetPartitions())
	for _, at := range told.GetAt() {
		l := s.ownerAt(strings.TrimSuffix(at.GetUrl(), "/"))
		if l == nil {
			continue
		}
		owners[l.url] = l
		for _, n := range at.GetPartitions() {
			if int(n) < len(places) {
				places[n] = l
			}
		}
	}
	for url, l := range s.owners {
		if owners[url] == nil {
			close(l.left)
			l.down(nil)
		}
	}
	s.owners, s.places = owners, places
}

// ownerAt answers the lane to an owner, and begins it if it is new; nil: base goes there.
func (s *Submitter) ownerAt(url string) *lane {
	if url == s.rpc.streamURL {
		return nil
	}
	if l := s.owners[url]; l != nil {
		return l
	}
	l := newLane(s, url, s.rpc.streamsAt(url))
	s.begin(l)
	return l
}

// rouseAll has every writer look again; s.mu is held.
func (s *Submitter) rouseAll() {
	s.base.rouse()
	for _, l := range s.owners {
		l.rouse()
	}
}
