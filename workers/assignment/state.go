package assignment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// Tuning of the state machine.
const (
	// aging is how much earlier in the line one step of priority puts a task:
	// nothing starves, since age wins in the end.
	aging = 10 * time.Second
	// bounds of the whole service; beyond them submits are refused.
	maxShapes  = 4096
	maxQueues  = 4096
	maxWaiting = 1_000_000
	// agentForgotten is how long a silent agent stays listed.
	agentForgotten = time.Hour
)

// DefaultLease is how long a silent agent keeps what it holds.
const DefaultLease = 10 * time.Second

// partition is the key prefix; its hash tag puts all state on one node.
const partition = "{p0}:"

// Machine is the task state machine in Redis. It holds no state of its own: any
// number of replicas may use one partition side by side.
type Machine struct {
	redis  redis.UniversalClient
	prefix string
	lease  time.Duration
	// observe is told how long each script took.
	observe func(script string, took time.Duration, err error)
}

// NewMachine works on the one partition. The lease is how long a silent agent
// keeps what it holds.
func NewMachine(client redis.UniversalClient, lease time.Duration) *Machine {
	return &Machine{redis: client, prefix: partition, lease: lease,
		observe: func(string, time.Duration, error) {}}
}

// run calls one script. The library repeats a call whose answer was lost, which
// every script is built to survive.
func (m *Machine) run(ctx context.Context, s script, args ...any) (any, error) {
	start := time.Now()
	v, err := s.Run(ctx, m.redis, []string{m.prefix}, args...).Result()
	m.observe(s.name, time.Since(start), err)
	if err != nil {
		return nil, unavailable("redis", err)
	}
	return v, nil
}

func (m *Machine) runStrings(ctx context.Context, s script, args ...any) ([]string, error) {
	v, err := m.run(ctx, s, args...)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("script %s answered %T, not a list", s.name, v)
	}
	out := make([]string, len(list))
	for i, x := range list {
		if out[i], ok = x.(string); !ok {
			return nil, fmt.Errorf("script %s answered %T at %d, not text", s.name, x, i)
		}
	}
	return out, nil
}

// Submitted is what became of one draft.
type Submitted struct {
	TaskID    string
	Duplicate bool
	// Err is a ConflictError, InvalidError or BusyError: nothing was stored.
	Err error
}

// Submit stores validated drafts, all in one change; each has its own outcome.
func (m *Machine) Submit(ctx context.Context, drafts ...*Draft) ([]Submitted, error) {
	args := make([]any, 0, 4+10*len(drafts))
	args = append(args, maxShapes, maxQueues, maxWaiting, aging.Microseconds())
	for _, d := range drafts {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("task id: %w", err)
		}
		args = append(args, id.String(), d.IdempotencyKey, d.digest(), d.Queue, d.Handler,
			d.shape(), d.Priority, micros(d.Deadline), d.MaxAttempts, d.Payload)
	}
	out, err := m.runStrings(ctx, submitScript, args...)
	if err != nil {
		return nil, err
	}
	results := make([]Submitted, len(drafts))
	for i, d := range drafts {
		results[i] = submitted(d, out[2*i], out[2*i+1])
	}
	return results, nil
}

func submitted(d *Draft, status, id string) Submitted {
	switch status {
	case "created":
		return Submitted{TaskID: id}
	case "duplicate":
		return Submitted{TaskID: id, Duplicate: true}
	case "conflict":
		return Submitted{TaskID: id, Err: &ConflictError{Key: d.IdempotencyKey, TaskID: id}}
	case "expired":
		return Submitted{Err: &InvalidError{Fields: []FieldProblem{{"deadline", "has passed"}}}}
	case "too_many_shapes":
		return Submitted{Err: &BusyError{fmt.Sprintf("waiting tasks ask for %d different capability sets, the most that are served; capabilities [%s] would be one more", maxShapes, d.shape()), 10 * time.Second}}
	case "too_many_queues":
		return Submitted{Err: &BusyError{fmt.Sprintf("%d queues exist, the most that are served; %q would be one more", maxQueues, d.Queue), time.Minute}}
	case "full":
		return Submitted{Err: &BusyError{fmt.Sprintf("%d tasks wait, the most that are kept", maxWaiting), 5 * time.Second}}
	default:
		return Submitted{Err: fmt.Errorf("submit answered %q", status)}
	}
}

// Get answers a task that Redis still holds, or ErrNotFound.
func (m *Machine) Get(ctx context.Context, id string) (*Task, error) {
	fields, err := m.redis.HGetAll(ctx, m.prefix+"task:"+id).Result()
	if err != nil {
		return nil, unavailable("redis", err)
	}
	if fields["state"] == "" { // nothing, or only what its idempotency key needs
		return nil, ErrNotFound
	}
	return decodeTask(fields)
}

// getMany answers those of the tasks that Redis holds.
func (m *Machine) getMany(ctx context.Context, ids []string) ([]*Task, error) {
	pipe := m.redis.Pipeline()
	replies := make([]*redis.MapStringStringCmd, len(ids))
	for i, id := range ids {
		replies[i] = pipe.HGetAll(ctx, m.prefix+"task:"+id)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable("redis", err)
	}
	tasks := make([]*Task, 0, len(ids))
	for _, r := range replies {
		if r.Val()["state"] == "" {
			continue
		}
		t, err := decodeTask(r.Val())
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, t)
	}
	return tasks, nil
}

// waitingNow answers how many tasks wait in all queues.
func (m *Machine) waitingNow(ctx context.Context) (int64, error) {
	n, err := m.redis.Get(ctx, m.prefix+"waiting").Int64()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return n, err
}

// decodeTask reads the hash of a task.
func decodeTask(f map[string]string) (*Task, error) {
	var bad error
	num := func(name string) int64 {
		n, err := strconv.ParseInt(f[name], 10, 64)
		if err != nil && bad == nil {
			bad = fmt.Errorf("task %s: field %s: %w", f["id"], name, err)
		}
		return n
	}
	t := &Task{
		ID: f["id"],
		Draft: Draft{
			IdempotencyKey: f["key"], Queue: f["queue"], Handler: f["handler"],
			Capabilities: splitShape(f["shape"]), Priority: int(num("priority")),
			Deadline: fromMicros(num("deadline_us")), MaxAttempts: int(num("max_attempts")),
			Payload: []byte(f["payload"]),
		},
		State: State(f["state"]), Attempt: int(num("attempt")), Failures: int(num("failures")),
		Agent: f["agent"], SubmittedAt: fromMicros(num("submitted_us")),
		StartedAt: fromMicros(num("started_us")), FinishedAt: fromMicros(num("finished_us")),
		Result: []byte(f["result"]), Error: f["error"],
	}
	return t, bad
}

func splitShape(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// Stats answers one queue's counters, or every queue's when the name is empty.
func (m *Machine) Stats(ctx context.Context, queue string) ([]Stats, error) {
	queues := []string{queue}
	if queue == "" {
		var err error
		if queues, err = m.redis.SMembers(ctx, m.prefix+"queues").Result(); err != nil {
			return nil, unavailable("redis", err)
		}
	}
	pipe := m.redis.Pipeline()
	replies := make([]*redis.MapStringStringCmd, len(queues))
	for i, q := range queues {
		replies[i] = pipe.HGetAll(ctx, m.prefix+"stats:"+q)
	}
	if _, err := pipe.Exec(ctx); err != nil && len(queues) > 0 {
		return nil, unavailable("redis", err)
	}
	out := make([]Stats, len(queues))
	for i, q := range queues {
		out[i].Queue = q
		fields := replies[i].Val()
		for name, place := range out[i].counters() {
			n, err := strconv.ParseUint(orZero(fields[name]), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("stats of queue %s: %s: %w", q, name, err)
			}
			*place = n
		}
	}
	return out, nil
}

func orZero(s string) string {
	if s == "" {
		return "0"
	}
	return s
}

// Agents answers the agents seen within the last lease term, by name.
func (m *Machine) Agents(ctx context.Context) ([]AgentInfo, error) {
	now, err := m.redis.Time(ctx).Result()
	if err != nil {
		return nil, unavailable("redis", err)
	}
	seen, err := m.redis.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{
		Key: m.prefix + "agents", ByScore: true,
		Start: strconv.FormatInt(now.Add(-m.lease).UnixMicro(), 10), Stop: "+inf",
	}).Result()
	if err != nil {
		return nil, unavailable("redis", err)
	}
	pipe := m.redis.Pipeline()
	records := make([]*redis.MapStringStringCmd, len(seen))
	held := make([]*redis.IntCmd, len(seen))
	for i, z := range seen {
		id := z.Member.(string)
		records[i] = pipe.HGetAll(ctx, m.prefix+"agent:"+id)
		held[i] = pipe.SCard(ctx, m.prefix+"held:"+id)
	}
	if _, err := pipe.Exec(ctx); err != nil && len(seen) > 0 {
		return nil, unavailable("redis", err)
	}
	out := make([]AgentInfo, 0, len(seen))
	for i, z := range seen {
		f := records[i].Val()
		info := AgentInfo{
			ID: z.Member.(string), Capabilities: splitShape(f["capabilities"]), AttachedTo: f["instance"],
			Running: int(held[i].Val()), SeenAt: fromMicros(int64(z.Score)),
		}
		info.Capacity, _ = strconv.Atoi(f["capacity"])
		if f["labels"] != "" {
			if err := json.Unmarshal([]byte(f["labels"]), &info.Labels); err != nil {
				return nil, fmt.Errorf("agent %s: labels: %w", info.ID, err)
			}
		}
		out = append(out, info)
	}
	return out, nil
}

// Ping answers nil when the node that holds the partition does.
func (m *Machine) Ping(ctx context.Context) error {
	return m.redis.Exists(ctx, m.prefix+"queues").Err()
}
