package wire

import (
	"github.com/google/uuid"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/partition"
)

func parse(text string) (partition.TaskID, error) {
	if len(text) != textSize { // Parse takes other spellings too
		return partition.TaskID{}, partition.ErrNotFound
	}
	return uuid.Parse(text)
}

// ExecutionOf reads an execution; what is no task's id is the zero one, which nobody holds.
func ExecutionOf(p *hivev1.Execution) partition.Execution {
	id, _ := parse(p.GetTaskId())
	return partition.Execution{Task: id, Attempt: int(p.GetAttempt())}
}

// ExecutionsOf reads a list of executions.
func ExecutionsOf(list []*hivev1.Execution) []partition.Execution {
	out := make([]partition.Execution, len(list))
	for i, p := range list {
		out[i] = ExecutionOf(p)
	}
	return out
}

// ExecutionToProto is the inverse of ExecutionOf.
func ExecutionToProto(x partition.Execution) *hivev1.Execution {
	return &hivev1.Execution{TaskId: x.Task.String(), Attempt: uint32(x.Attempt)}
}

// ExecutionsToProto is the inverse of ExecutionsOf.
func ExecutionsToProto(list []partition.Execution) []*hivev1.Execution {
	texts := IDs(len(list), func(i int) partition.TaskID { return list[i].Task })
	all, out := make([]hivev1.Execution, len(list)), make([]*hivev1.Execution, len(list))
	for i := range list {
		out[i] = &all[i]
		out[i].TaskId, out[i].Attempt = texts[i], uint32(list[i].Attempt)
	}
	return out
}

// AssignmentToProto is an execution as its agent gets it.
func AssignmentToProto(a *partition.Assignment) *hivev1.Assignment {
	out := &hivev1.Assignment{}
	assignment(out, ExecutionToProto(a.Execution), a)
	return out
}

// AssignmentsToProto is a list of them.
func AssignmentsToProto(list []partition.Assignment) []*hivev1.Assignment {
	texts := IDs(len(list), func(i int) partition.TaskID { return list[i].Task })
	executions, all := make([]hivev1.Execution, len(list)), make([]hivev1.Assignment, len(list))
	out := make([]*hivev1.Assignment, len(list))
	for i := range list {
		executions[i].TaskId, executions[i].Attempt = texts[i], uint32(list[i].Attempt)
		out[i] = &all[i]
		assignment(out[i], &executions[i], &list[i])
	}
	return out
}

func assignment(out *hivev1.Assignment, x *hivev1.Execution, a *partition.Assignment) {
	out.Execution, out.Queue, out.Handler, out.Priority = x, a.Queue, a.Handler, uint32(a.Priority)
	out.Deadline, out.Payload = Stamp(a.Deadline), a.Payload
}

// AssignmentsOf is the inverse of AssignmentsToProto.
func AssignmentsOf(list []*hivev1.Assignment) []partition.Assignment {
	out := make([]partition.Assignment, len(list))
	for i, p := range list {
		out[i] = partition.Assignment{
			Execution: ExecutionOf(p.GetExecution()), Queue: p.GetQueue(), Handler: p.GetHandler(), Priority: int(p.GetPriority()),
			Deadline: Micros(p.GetDeadline()), Payload: p.GetPayload(),
		}
	}
	return out
}

// ReportOf reads how an execution ended.
func ReportOf(p *hivev1.CompleteRequest) partition.Report {
	return partition.Report{
		Agent: p.GetAgentId(), Execution: ExecutionOf(p.GetExecution()), Result: p.GetResult(), Error: p.GetError(), Final: p.GetFinal(),
	}
}

// ReportToProto is the inverse of ReportOf.
func ReportToProto(r *partition.Report) *hivev1.CompleteRequest {
	return &hivev1.CompleteRequest{
		AgentId: r.Agent, Execution: ExecutionToProto(r.Execution), Result: r.Result, Error: r.Error, Final: r.Final,
	}
}

// VerdictToProto is what became of a report.
func VerdictToProto(v partition.Verdict) *hivev1.CompleteResponse {
	return &hivev1.CompleteResponse{Accepted: v.Accepted, Duplicate: v.Duplicate, Reason: v.Reason, State: states[v.Phase]}
}

// VerdictOf is the inverse of VerdictToProto.
func VerdictOf(p *hivev1.CompleteResponse) partition.Verdict {
	return partition.Verdict{Accepted: p.GetAccepted(), Duplicate: p.GetDuplicate(), Reason: p.GetReason(), Phase: PhaseOf(p.GetState())}
}
