package main

import (
	"sync"

	"google.golang.org/protobuf/proto"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// talk is what is said on one stream of many agents: results that went up wait until their
// frame's number, or an answer of their own, comes down.
type talk struct {
	wire *wire

	mu   sync.Mutex
	sent map[uint64][]*hivev1.CompleteRequest
	told map[execution]bool // that had an answer of their own
}

func newTalk(w *wire) *talk {
	return &talk{wire: w, sent: map[uint64][]*hivev1.CompleteRequest{}, told: map[execution]bool{}}
}

// up reads a frame of the agents.
func (t *talk) up(b []byte) {
	var m hivev1.WorkRequest
	if proto.Unmarshal(b, &m) != nil || len(m.GetResults()) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent[m.GetSequence()] = m.GetResults()
}

// down reads a frame of the orchestrator.
func (t *talk) down(b []byte) {
	var m hivev1.WorkResponse
	if proto.Unmarshal(b, &m) != nil {
		return
	}
	t.wire.work(&m)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range m.GetReported() {
		t.told[named(r.GetExecution())] = true
		if r.GetRefused() == "" {
			t.wire.verdict(r.GetAgentId(), r.GetExecution(), r.GetOutcome())
		}
	}
	for _, n := range m.GetSettled() {
		for _, r := range t.sent[n] {
			if x := named(r.GetExecution()); t.told[x] {
				delete(t.told, x)
				continue
			}
			t.wire.verdict(r.GetAgentId(), r.GetExecution(), acceptance(r))
		}
		delete(t.sent, n)
	}
}

func named(x *hivev1.Execution) execution {
	return execution{x.GetTaskId(), int(x.GetAttempt())}
}

// acceptance is the answer that a frame's number stands for.
func acceptance(r *hivev1.CompleteRequest) *hivev1.CompleteResponse {
	out := &hivev1.CompleteResponse{Accepted: true}
	if r.GetError() == "" && !r.GetFinal() {
		out.State = hivev1.TaskState_TASK_STATE_COMPLETED
	}
	return out
}
