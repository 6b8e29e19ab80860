package assignment

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

func draftOf(p *hivev1.Draft) *Draft {
	return &Draft{
		IdempotencyKey: p.GetIdempotencyKey(), Queue: p.GetQueue(), Handler: p.GetHandler(),
		Capabilities: p.GetCapabilities(), Priority: int(p.GetPriority()), Deadline: timeOf(p.GetDeadline()),
		MaxAttempts: int(p.GetMaxAttempts()), Payload: p.GetPayload(),
	}
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func stampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

var protoStates = map[State]hivev1.TaskState{
	Waiting:   hivev1.TaskState_TASK_STATE_WAITING,
	Running:   hivev1.TaskState_TASK_STATE_RUNNING,
	Completed: hivev1.TaskState_TASK_STATE_COMPLETED,
	Dead:      hivev1.TaskState_TASK_STATE_DEAD,
}

func (t *Task) proto() *hivev1.Task {
	return &hivev1.Task{
		Id: t.ID, IdempotencyKey: t.IdempotencyKey, Queue: t.Queue, Handler: t.Handler,
		Capabilities: t.Capabilities, Priority: uint32(t.Priority), Deadline: stampOf(t.Deadline),
		MaxAttempts: uint32(t.MaxAttempts), Payload: t.Payload, State: protoStates[t.State],
		Attempt: uint32(t.Attempt), Failures: uint32(t.Failures), Agent: t.Agent,
		SubmittedAt: stampOf(t.SubmittedAt), StartedAt: stampOf(t.StartedAt), FinishedAt: stampOf(t.FinishedAt),
		Result: t.Result, Error: t.Error,
	}
}

func executionOf(p *hivev1.Execution) Execution {
	return Execution{TaskID: p.GetTaskId(), Attempt: int(p.GetAttempt())}
}

func executionsOf(list []*hivev1.Execution) []Execution {
	out := make([]Execution, len(list))
	for i, e := range list {
		out[i] = executionOf(e)
	}
	return out
}

func protoExecutions(list []Execution) []*hivev1.Execution {
	out := make([]*hivev1.Execution, len(list))
	for i, e := range list {
		out[i] = &hivev1.Execution{TaskId: e.TaskID, Attempt: uint32(e.Attempt)}
	}
	return out
}

func (a Assignment) proto() *hivev1.AttachResponse {
	return &hivev1.AttachResponse{Event: &hivev1.AttachResponse_Assignment{Assignment: &hivev1.Assignment{
		Execution: &hivev1.Execution{TaskId: a.TaskID, Attempt: uint32(a.Attempt)},
		Queue:     a.Queue, Handler: a.Handler, Priority: uint32(a.Priority),
		Deadline: stampOf(a.Deadline), Payload: a.Payload,
	}}}
}

func attachedFrame(session string, lease time.Duration, lost []Execution) *hivev1.AttachResponse {
	return &hivev1.AttachResponse{Event: &hivev1.AttachResponse_Attached{Attached: &hivev1.Attached{
		Session: session, Lease: durationpb.New(lease), Lost: protoExecutions(lost),
	}}}
}

var goodbyes = map[End]hivev1.Goodbye_Reason{
	EndDraining: hivev1.Goodbye_REASON_DRAINING,
	EndDetached: hivev1.Goodbye_REASON_DETACHED,
	EndReplaced: hivev1.Goodbye_REASON_REPLACED,
}

func (s Stats) proto() *hivev1.QueueStats {
	return &hivev1.QueueStats{
		Queue: s.Queue, Submitted: s.Submitted, DuplicatesAnswered: s.DuplicatesAnswered,
		DuplicatesRefused: s.DuplicatesRefused, Executions: s.Executions, Completed: s.Completed,
		FailedAttempts: s.FailedAttempts, LostAttempts: s.LostAttempts, Released: s.Released,
		LateRefused: s.LateRefused, Dead: s.Dead, Expired: s.Expired,
		Waiting: s.Waiting, Running: s.Running, Archived: s.Archived,
	}
}

func (a AgentInfo) proto() *hivev1.Agent {
	return &hivev1.Agent{
		Id: a.ID, Capabilities: a.Capabilities, Capacity: uint32(a.Capacity), Running: uint32(a.Running),
		AttachedTo: a.AttachedTo, SeenAt: stampOf(a.SeenAt), Labels: a.Labels,
	}
}
