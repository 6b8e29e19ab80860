package assignment

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Stream identifies one agent's stream and the replica that holds it.
type Stream struct {
	Session  string
	Instance string
}

// Attach records an agent's new stream. It answers the executions of a.Held that
// the agent does not hold any more.
func (m *Machine) Attach(ctx context.Context, a *Attachment, s Stream) ([]Execution, error) {
	labels, err := json.Marshal(a.Labels)
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	args := []any{a.Agent, s.Session, s.Instance, a.Capacity, strings.Join(a.Capabilities, ","), labels, m.lease.Microseconds()}
	return m.executions(ctx, attachScript, append(args, pairs(a.Held)...))
}

// Detach asks the agent's stream to end in order.
func (m *Machine) Detach(ctx context.Context, agent, session string) error {
	_, err := m.run(ctx, detachScript, agent, session)
	return err
}

// Claimed is what one claim took.
type Claimed struct {
	Assignments []Assignment
	// Free are the slots that the agent has left.
	Free int
	// End is set when the stream must end: replaced by a newer one, or detached.
	End End
}

// End says why a stream ends.
type End string

// The ends of a stream.
const (
	EndNone     End = ""
	EndReplaced End = "replaced"
	EndDetached End = "detached"
	EndDraining End = "draining"
)

// Claim takes up to most waiting tasks for the agent. When the answer was lost,
// call again with the same nonce: the same executions are answered again.
func (m *Machine) Claim(ctx context.Context, a *Attachment, session, nonce string, most int) (Claimed, error) {
	args := make([]any, 0, 5+len(a.Capabilities))
	args = append(args, a.Agent, session, nonce, most, m.lease.Microseconds())
	for _, c := range a.Capabilities {
		args = append(args, c)
	}
	out, err := m.runStrings(ctx, claimScript, args...)
	if err != nil {
		return Claimed{}, err
	}
	return decodeClaim(out)
}

// claimWidth is the number of values that claim.lua answers for each task.
const claimWidth = 8

func decodeClaim(out []string) (Claimed, error) {
	if len(out) < 2 || (len(out)-2)%claimWidth != 0 {
		return Claimed{}, fmt.Errorf("claim answered %d values", len(out))
	}
	var c Claimed
	if out[0] != "ok" {
		c.End = End(out[0])
	}
	c.Free, _ = strconv.Atoi(out[1])
	for t := out[2:]; len(t) > 0; t = t[claimWidth:] {
		var n [4]int64
		for i, s := range []string{t[1], t[4], t[5], t[7]} {
			v, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return Claimed{}, fmt.Errorf("claim answered for task %s: %w", t[0], err)
			}
			n[i] = v
		}
		c.Assignments = append(c.Assignments, Assignment{
			Execution: Execution{TaskID: t[0], Attempt: int(n[0])}, Queue: t[2], Handler: t[3],
			Priority: int(n[1]), Deadline: fromMicros(n[2]), Payload: []byte(t[6]),
			Waited: time.Duration(n[3]) * time.Microsecond,
		})
	}
	return c, nil
}

// Heartbeat renews what the agent holds and answers what it does not hold any more.
func (m *Machine) Heartbeat(ctx context.Context, agent string, held []Execution) ([]Execution, error) {
	return m.executions(ctx, heartbeatScript, append([]any{agent, m.lease.Microseconds()}, pairs(held)...))
}

// Report is how one execution ended.
type Report struct {
	Agent string
	Execution
	Result []byte
	// Error is empty for success.
	Error string
	// Final failures go to the dead letters at once.
	Final bool
}

// Verdict is what became of a report.
type Verdict struct {
	Accepted bool
	// Duplicate: this report had been accepted before.
	Duplicate bool
	// Reason says why it was refused.
	Reason string
	State  State
}

// Complete ends one execution, unless the agent does not hold it any more.
func (m *Machine) Complete(ctx context.Context, r Report) (Verdict, error) {
	outcome := "ok"
	if r.Error != "" || r.Final {
		outcome = "fail"
	}
	if r.Final {
		outcome = "final"
	}
	out, err := m.runStrings(ctx, completeScript, r.Agent, r.TaskID, r.Attempt, outcome, r.Result, r.Error)
	if err != nil {
		return Verdict{}, err
	}
	return Verdict{Accepted: out[0] != "refused", Duplicate: out[0] == "duplicate", State: State(out[1]), Reason: out[2]}, nil
}

// Release gives executions back; they cost the task no attempt. Session is that
// of a stream that has ended, or empty. It answers how many were held.
func (m *Machine) Release(ctx context.Context, agent, session string, list []Execution) (int, error) {
	return m.count(ctx, releaseScript, append([]any{agent, session}, pairs(list)...)...)
}

func (m *Machine) count(ctx context.Context, s script, args ...any) (int, error) {
	v, err := m.run(ctx, s, args...)
	if err != nil {
		return 0, err
	}
	n, ok := v.(int64)
	if !ok {
		return 0, fmt.Errorf("script %s answered %T, not a number", s.name, v)
	}
	return int(n), nil
}

// Expire takes back what ran out, up to most of each kind.
func (m *Machine) Expire(ctx context.Context, most int) (lost, expired int, err error) {
	return m.counts(ctx, expireScript, most, agentForgotten.Microseconds())
}

// Evict gives memory back while Redis is nearly full, up to most tasks in one call:
// the bodies of the oldest archived ones, later those tasks whole. It answers how many.
func (m *Machine) Evict(ctx context.Context, most int) (bodies, whole int, err error) {
	return m.counts(ctx, evictScript, most, bodiesFrom, wholeFrom, archiveKeep.Milliseconds())
}

// counts runs a script that answers two numbers.
func (m *Machine) counts(ctx context.Context, s script, args ...any) (first, second int, err error) {
	v, err := m.run(ctx, s, args...)
	if err != nil {
		return 0, 0, err
	}
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		return 0, 0, fmt.Errorf("script %s answered %v, not two numbers", s.name, v)
	}
	a, _ := list[0].(int64)
	b, _ := list[1].(int64)
	return int(a), int(b), nil
}

// pairs flattens executions into script arguments.
func pairs(list []Execution) []any {
	out := make([]any, 0, 2*len(list))
	for _, e := range list {
		out = append(out, e.TaskID, e.Attempt)
	}
	return out
}

// executions runs a script that answers id and attempt in turn.
func (m *Machine) executions(ctx context.Context, s script, args []any) ([]Execution, error) {
	out, err := m.runStrings(ctx, s, args...)
	if err != nil {
		return nil, err
	}
	list := make([]Execution, 0, len(out)/2)
	for i := 0; i+1 < len(out); i += 2 {
		attempt, err := strconv.Atoi(out[i+1])
		if err != nil {
			return nil, fmt.Errorf("script %s: attempt of %s: %w", s.name, out[i], err)
		}
		list = append(list, Execution{out[i], attempt})
	}
	return list, nil
}
