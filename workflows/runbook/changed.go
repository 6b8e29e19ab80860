package runbook

import "slices"

// Changer is the result of an act that knows whether it changed anything, or
// found it done.
type Changer interface{ DidChange() bool }

// DidChange implements Changer.
func (c Changed) DidChange() bool { return c.Changed }

// DidChange implements Changer.
func (p PulledImage) DidChange() bool { return p.Changed }

// DidChange implements Changer.
func (r Replica) DidChange() bool { return r.Changed }

// DidChange implements Changer.
func (s Stopped) DidChange() bool { return s.Changed }

// DidChange implements Changer.
func (r Reclaimed) DidChange() bool { return r.Changed }

// DidChange implements Changer.
func (p ProxyChange) DidChange() bool { return p.Changed }

// DidChange implements Changer.
func (m Maintained) DidChange() bool { return m.Changed }

// DidChange implements Changer.
func (l LogChange) DidChange() bool { return l.Changed }

// DidChange implements Changer.
func (r ReplicaStanding) DidChange() bool { return r.Changed }

// DidChange implements Changer.
func (s PartitionSnapshots) DidChange() bool {
	return slices.ContainsFunc(s.Partitions, func(p PartitionSnapshot) bool { return p.Changed })
}

// DidChange implements Changer.
func (p Placement) DidChange() bool { return !slices.Equal(p.Before, p.After) }
