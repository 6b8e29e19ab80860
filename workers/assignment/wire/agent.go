package wire

import (
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/partition"
)

// SpecOf reads what an agent says of itself.
func SpecOf(p *hivev1.AttachRequest) partition.AgentSpec {
	return partition.AgentSpec{ID: p.GetAgentId(), Capabilities: p.GetCapabilities(), Capacity: int(p.GetCapacity()), Labels: p.GetLabels()}
}

// SeatingToProto is an agent that another replica's partition seats.
func SeatingToProto(s *partition.Seating) *hivev1.PeerSeating {
	return &hivev1.PeerSeating{
		Agent: &hivev1.AttachRequest{
			AgentId: s.ID, Capabilities: s.Capabilities, Capacity: uint32(s.Capacity), Labels: s.Labels, Held: ExecutionsToProto(s.Held),
		},
		Slots: uint32(s.Slots),
	}
}

// AgentToProto is an agent in lists; home is the replica that holds its stream.
func AgentToProto(a *partition.AgentInfo) *hivev1.Agent {
	return &hivev1.Agent{
		Id: a.ID, Capabilities: a.Capabilities, Capacity: uint32(a.Capacity), Running: uint32(a.Running), AttachedTo: a.Home,
		SeenAt: Stamp(a.Seen), Labels: a.Labels,
	}
}

// AgentOf is the inverse of AgentToProto.
func AgentOf(p *hivev1.Agent) partition.AgentInfo {
	return partition.AgentInfo{
		AgentSpec: partition.AgentSpec{ID: p.GetId(), Capabilities: p.GetCapabilities(), Capacity: int(p.GetCapacity()), Labels: p.GetLabels()},
		Running:   int(p.GetRunning()), Home: p.GetAttachedTo(), Seen: Micros(p.GetSeenAt()),
	}
}

// StatsToProto are a queue's counters.
func StatsToProto(s *partition.Stats) *hivev1.QueueStats {
	return &hivev1.QueueStats{
		Queue: s.Queue, Submitted: s.Submitted, DuplicatesAnswered: s.DuplicatesAnswered, DuplicatesRefused: s.DuplicatesRefused,
		Executions: s.Executions, Completed: s.Completed, FailedAttempts: s.FailedAttempts, LostAttempts: s.LostAttempts,
		Released: s.Released, LateRefused: s.LateRefused, Dead: s.Dead, Expired: s.Expired, Waiting: s.Waiting, Running: s.Running,
		Archived: s.Archived, Cancelled: s.Cancelled, Redriven: s.Redriven,
	}
}

// StatsOf is the inverse of StatsToProto.
func StatsOf(p *hivev1.QueueStats) partition.Stats {
	return partition.Stats{
		Queue: p.GetQueue(), Submitted: p.GetSubmitted(), DuplicatesAnswered: p.GetDuplicatesAnswered(), DuplicatesRefused: p.GetDuplicatesRefused(),
		Executions: p.GetExecutions(), Completed: p.GetCompleted(), FailedAttempts: p.GetFailedAttempts(), LostAttempts: p.GetLostAttempts(),
		Released: p.GetReleased(), LateRefused: p.GetLateRefused(), Dead: p.GetDead(), Expired: p.GetExpired(), Waiting: p.GetWaiting(),
		Running: p.GetRunning(), Archived: p.GetArchived(), Cancelled: p.GetCancelled(), Redriven: p.GetRedriven(),
	}
}
