package wire

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/partition"
)

// ID reads a task's id as it stands in calls; false where it is none.
func ID(text string) (partition.TaskID, bool) {
	id, err := parse(text)
	return id, err == nil
}

// Micros is a time in Unix µs, 0 for none.
func Micros(t *timestamppb.Timestamp) int64 {
	if t == nil {
		return 0
	}
	return t.AsTime().UnixMicro()
}

// Stamp is the inverse of Micros.
func Stamp(micros int64) *timestamppb.Timestamp {
	if micros == 0 {
		return nil
	}
	return timestamppb.New(time.UnixMicro(micros))
}

var states = map[partition.Phase]hivev1.TaskState{
	partition.Waiting:   hivev1.TaskState_TASK_STATE_WAITING,
	partition.Running:   hivev1.TaskState_TASK_STATE_RUNNING,
	partition.Completed: hivev1.TaskState_TASK_STATE_COMPLETED,
	partition.Dead:      hivev1.TaskState_TASK_STATE_DEAD,
	partition.Cancelled: hivev1.TaskState_TASK_STATE_CANCELLED,
}

// StateToProto is a phase in calls.
func StateToProto(p partition.Phase) hivev1.TaskState { return states[p] }

// PhaseOf is the inverse of StateToProto; an unspecified or unknown state is 0.
func PhaseOf(s hivev1.TaskState) partition.Phase {
	for p, state := range states {
		if state == s {
			return p
		}
	}
	return 0
}

// TaskToProto is a task in calls.
func TaskToProto(t *partition.Task) *hivev1.Task {
	return &hivev1.Task{
		Id: t.ID.String(), IdempotencyKey: t.Key, Queue: t.Queue, Handler: t.Handler, Capabilities: t.Capabilities,
		Priority: uint32(t.Priority), Deadline: Stamp(t.Deadline), MaxAttempts: uint32(t.MaxAttempts), Payload: t.Payload,
		State: states[t.Phase], Attempt: uint32(t.Attempt), Failures: uint32(t.Failures), Agent: t.Agent,
		SubmittedAt: Stamp(t.Submitted), StartedAt: Stamp(t.Started), FinishedAt: Stamp(t.Finished), Result: t.Result, Error: t.Error,
	}
}

// TaskOf is the inverse of TaskToProto, but for the digest.
func TaskOf(t *hivev1.Task) partition.Task {
	id, _ := parse(t.GetId()) // what is no id is the zero one, which no partition has
	return partition.Task{
		Draft: partition.Draft{
			ID: id, Key: t.GetIdempotencyKey(), Queue: t.GetQueue(), Handler: t.GetHandler(), Capabilities: t.GetCapabilities(),
			Priority: int(t.GetPriority()), Deadline: Micros(t.GetDeadline()), MaxAttempts: int(t.GetMaxAttempts()), Payload: t.GetPayload(),
		},
		Phase: PhaseOf(t.GetState()), Attempt: int(t.GetAttempt()), Failures: int(t.GetFailures()), Agent: t.GetAgent(),
		Submitted: Micros(t.GetSubmittedAt()), Started: Micros(t.GetStartedAt()), Finished: Micros(t.GetFinishedAt()),
		Result: t.GetResult(), Error: t.GetError(),
	}
}

// DraftToPeer is a draft between replicas.
func DraftToPeer(d *partition.Draft) *hivev1.PeerDraft {
	return &hivev1.PeerDraft{
		Id: d.ID[:], Digest: d.Digest[:],
		Draft: &hivev1.Draft{
			IdempotencyKey: d.Key, Queue: d.Queue, Handler: d.Handler, Capabilities: d.Capabilities, Priority: uint32(d.Priority),
			Deadline: Stamp(d.Deadline), MaxAttempts: uint32(d.MaxAttempts), Payload: d.Payload,
		},
	}
}

// DraftOfPeer is the inverse of DraftToPeer.
func DraftOfPeer(p *hivev1.PeerDraft) *partition.Draft {
	d := p.GetDraft()
	out := &partition.Draft{
		Key: d.GetIdempotencyKey(), Queue: d.GetQueue(), Handler: d.GetHandler(), Capabilities: d.GetCapabilities(),
		Priority: int(d.GetPriority()), Deadline: Micros(d.GetDeadline()), MaxAttempts: int(d.GetMaxAttempts()), Payload: d.GetPayload(),
	}
	copy(out.ID[:], p.GetId())
	copy(out.Digest[:], p.GetDigest())
	return out
}
