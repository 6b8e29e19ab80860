package assignment

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/process/rediscluster"
	"github.com/leanvibe/hive/workers/redistest"
)

// newTestMachine works on a partition of its own in the package's Redis.
func newTestMachine(t testing.TB, lease time.Duration) *Machine {
	t.Helper()
	client := rediscluster.New([]string{redistest.Addr(t)}, "")
	t.Cleanup(func() { _ = client.Close() })
	m := NewMachine(client, lease)
	m.prefix = "{" + uuid.NewString() + "}:"
	return m
}

func draft(key string, change ...func(*Draft)) *Draft {
	d := &Draft{IdempotencyKey: key, Queue: "q", Handler: "echo", Payload: []byte("hello\x00\xff")}
	for _, c := range change {
		c(d)
	}
	return d
}

func mustSubmit(t testing.TB, m *Machine, d *Draft) string {
	t.Helper()
	require.NoError(t, d.Validate(time.Now()))
	out, err := m.Submit(t.Context(), d)
	require.NoError(t, err)
	require.NoError(t, out[0].Err)
	return out[0].TaskID
}

// testAgent is an attached agent.
type testAgent struct {
	Attachment
	session string
	m       *Machine
}

func attach(t testing.TB, m *Machine, id string, capacity int, caps ...string) *testAgent {
	t.Helper()
	a := &testAgent{Attachment: Attachment{Agent: id, Capacity: capacity, Capabilities: caps}, session: uuid.NewString(), m: m}
	require.NoError(t, a.Validate())
	_, err := m.Attach(t.Context(), &a.Attachment, Stream{a.session, "here"})
	require.NoError(t, err)
	return a
}

func (a *testAgent) claim(t testing.TB, most int) []Assignment {
	t.Helper()
	c, err := a.m.Claim(t.Context(), &a.Attachment, a.session, uuid.NewString(), most)
	require.NoError(t, err)
	return c.Assignments
}

func queueStats(t testing.TB, m *Machine) Stats {
	t.Helper()
	s, err := m.Stats(t.Context(), "q")
	require.NoError(t, err)
	return s[0]
}

func TestSubmit_SameKey(t *testing.T) {
	m := newTestMachine(t, DefaultLease)
	first := mustSubmit(t, m, draft("k"))

	again, err := m.Submit(t.Context(), draftOK(t, draft("k")))
	require.NoError(t, err)
	require.Equal(t, Submitted{TaskID: first, Duplicate: true}, again[0])

	other, err := m.Submit(t.Context(), draftOK(t, draft("k", func(d *Draft) { d.Payload = []byte("other") })))
	require.NoError(t, err)
	var conflict *ConflictError
	require.ErrorAs(t, other[0].Err, &conflict)
	require.Equal(t, first, conflict.TaskID)

	require.Equal(t, Stats{Queue: "q", Submitted: 1, DuplicatesAnswered: 1, DuplicatesRefused: 1, Waiting: 1}, queueStats(t, m))
}

func draftOK(t testing.TB, d *Draft) *Draft {
	t.Helper()
	require.NoError(t, d.Validate(time.Now()))
	return d
}

func TestSubmit_WithoutKeyIsAlwaysNew(t *testing.T) {
	m := newTestMachine(t, DefaultLease)
	first, second := mustSubmit(t, m, draft("")), mustSubmit(t, m, draft(""))
	require.NotEqual(t, first, second)
	require.EqualValues(t, 2, queueStats(t, m).Submitted)
}

func TestSubmit_PassedDeadline(t *testing.T) {
	m := newTestMachine(t, DefaultLease)
	out, err := m.Submit(t.Context(), draftOK(t, draft("k", func(d *Draft) { d.Deadline = time.Now().Add(-time.Second) })))
	require.NoError(t, err)
	require.EqualError(t, out[0].Err, "deadline has passed")
	require.Zero(t, queueStats(t, m).Submitted)
}

func TestTaskLife(t *testing.T) {
	m := newTestMachine(t, DefaultLease)
	id := mustSubmit(t, m, draft("k", func(d *Draft) { d.Capabilities = []string{"gpu", "cpu", "gpu"}; d.Priority = 3 }))
	require.Empty(t, attach(t, m, "weak", 5, "cpu").claim(t, 10), "an agent without the capability must not get it")

	a := attach(t, m, "strong", 5, "cpu", "disk", "gpu")
	got := a.claim(t, 10)
	require.Len(t, got, 1)
	require.Equal(t, Execution{id, 1}, got[0].Execution)
	require.Equal(t, []byte("hello\x00\xff"), got[0].Payload)
	require.Equal(t, 3, got[0].Priority)
	require.Empty(t, a.claim(t, 10), "a running task is not given out again")

	v, err := m.Complete(t.Context(), Report{Agent: "strong", Execution: got[0].Execution, Result: []byte{0, 1, 0xfe}})
	require.NoError(t, err)
	require.Equal(t, Verdict{Accepted: true, State: Completed}, v)
	v, err = m.Complete(t.Context(), Report{Agent: "strong", Execution: got[0].Execution, Result: []byte("again")})
	require.NoError(t, err)
	require.Equal(t, Verdict{Accepted: true, Duplicate: true, State: Completed}, v)

	task, err := m.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, Completed, task.State)
	require.Equal(t, []byte{0, 1, 0xfe}, task.Result)
	require.Equal(t, []string{"cpu", "gpu"}, task.Capabilities)
	require.Equal(t, Stats{Queue: "q", Submitted: 1, Executions: 1, Completed: 1}, queueStats(t, m))
}

func TestClaim_PriorityThenAge(t *testing.T) {
	m := newTestMachine(t, DefaultLease)
	low := mustSubmit(t, m, draft("low"))
	low2 := mustSubmit(t, m, draft("low2", func(d *Draft) { d.Capabilities = []string{"cpu"} }))
	high := mustSubmit(t, m, draft("high", func(d *Draft) { d.Priority = 9 }))
	var order []string
	for _, x := range attach(t, m, "a", 3, "cpu").claim(t, 3) {
		order = append(order, x.TaskID)
	}
	require.Equal(t, []string{high, low, low2}, order)
}

func TestClaim_CapacityAndNonce(t *testing.T) {
	m := newTestMachine(t, DefaultLease)
	for i := range 5 {
		mustSubmit(t, m, draft(fmt.Sprint(i)))
	}
	a := attach(t, m, "a", 3)
	first, err := m.Claim(t.Context(), &a.Attachment, a.session, "n1", 10)
	require.NoError(t, err)
	require.Len(t, first.Assignments, 3)
	require.Zero(t, first.Free)
	again, err := m.Claim(t.Context(), &a.Attachment, a.session, "n1", 10)
	require.NoError(t, err)
	require.Len(t, again.Assignments, 3, "the same nonce answers what it had claimed")
	for i, x := range again.Assignments {
		require.Equal(t, first.Assignments[i].Execution, x.Execution)
	}
	require.Empty(t, a.claim(t, 10), "no slot is free")
	require.EqualValues(t, 3, queueStats(t, m).Executions)
}

func TestLease_RunsOut(t *testing.T) {
	m := newTestMachine(t, 20*time.Millisecond)
	id := mustSubmit(t, m, draft("k", func(d *Draft) { d.MaxAttempts = 2 }))
	for attempt := 1; attempt <= 2; attempt++ {
		name := fmt.Sprint("agent", attempt)
		require.Len(t, attach(t, m, name, 1).claim(t, 1), 1)
		require.Eventually(t, func() bool { n, _, err := m.Expire(t.Context(), 10); return err == nil && n == 1 }, 5*time.Second, time.Millisecond)
		v, err := m.Complete(t.Context(), Report{Agent: name, Execution: Execution{id, attempt}})
		require.NoError(t, err)
		require.False(t, v.Accepted)
		require.Contains(t, v.Reason, "is not held")
	}
	task, err := m.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, Dead, task.State)
	require.Equal(t, "the lease of attempt 2 on agent agent2 ran out", task.Error)
	require.Equal(t, Stats{Queue: "q", Submitted: 1, Executions: 2, LostAttempts: 2, LateRefused: 2, Dead: 1}, queueStats(t, m))
}

func TestHeartbeat_RenewsAndNamesTheLost(t *testing.T) {
	m := newTestMachine(t, time.Hour)
	id := mustSubmit(t, m, draft("k"))
	a := attach(t, m, "a", 1)
	a.claim(t, 1)
	before := leaseEnd(t, m, id)
	require.Eventually(t, func() bool {
		lost, err := m.Heartbeat(t.Context(), "a", []Execution{{id, 1}})
		return err == nil && len(lost) == 0 && leaseEnd(t, m, id) > before
	}, time.Second, time.Millisecond)
	lost, err := m.Heartbeat(t.Context(), "b", []Execution{{id, 1}})
	require.NoError(t, err)
	require.Equal(t, []Execution{{id, 1}}, lost)
	lost, err = m.Heartbeat(t.Context(), "a", []Execution{{id, 2}})
	require.NoError(t, err)
	require.Equal(t, []Execution{{id, 2}}, lost)
}

func leaseEnd(t testing.TB, m *Machine, id string) float64 {
	t.Helper()
	end, err := m.redis.ZScore(t.Context(), m.prefix+"leases", id).Result()
	require.NoError(t, err)
	return end
}

func TestAttach_ResumesAndGivesBackTheRest(t *testing.T) {
	m := newTestMachine(t, time.Hour)
	for i := range 2 {
		mustSubmit(t, m, draft(fmt.Sprint(i)))
	}
	a := attach(t, m, "a", 2)
	got := a.claim(t, 2)
	require.Len(t, got, 2)

	next := &Attachment{Agent: "a", Capacity: 2, Held: []Execution{got[0].Execution, {uuid.NewString(), 7}}}
	lost, err := m.Attach(t.Context(), next, Stream{"s2", "there"})
	require.NoError(t, err)
	require.Equal(t, next.Held[1:], lost)

	c, err := m.Claim(t.Context(), &a.Attachment, a.session, "n", 1)
	require.NoError(t, err)
	require.Equal(t, EndReplaced, c.End)
	c, err = m.Claim(t.Context(), next, "s2", "n", 5)
	require.NoError(t, err)
	require.Len(t, c.Assignments, 1)
	require.Equal(t, Execution{got[1].TaskID, 2}, c.Assignments[0].Execution, "the one not named comes again, as a new attempt")

	require.NoError(t, m.Detach(t.Context(), "a", "s2"))
	c, err = m.Claim(t.Context(), next, "s2", "n3", 5)
	require.NoError(t, err)
	require.Equal(t, EndDetached, c.End)
}

func TestRelease_CostsNoAttempt(t *testing.T) {
	m := newTestMachine(t, time.Hour)
	id := mustSubmit(t, m, draft("k", func(d *Draft) { d.MaxAttempts = 1 }))
	a := attach(t, m, "a", 1)
	for attempt := 1; attempt <= 3; attempt++ {
		a.claim(t, 1)
		n, err := m.Release(t.Context(), "a", "", []Execution{{id, attempt}, {id, attempt + 1}})
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	require.Equal(t, Stats{Queue: "q", Submitted: 1, Executions: 3, Released: 3, Waiting: 1}, queueStats(t, m))
}

func TestComplete_Failures(t *testing.T) {
	tests := []struct {
		name   string
		report Report
		state  State
	}{
		{"one of two attempts failed", Report{Error: "boom"}, Waiting},
		{"no retry can mend it", Report{Error: "bad input", Final: true}, Dead},
	}
	m := newTestMachine(t, time.Hour)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cap := fmt.Sprint("only", i)
			id := mustSubmit(t, m, draft(cap, func(d *Draft) { d.MaxAttempts = 2; d.Capabilities = []string{cap} }))
			only := attach(t, m, cap, 1, cap)
			only.claim(t, 1)
			test.report.Agent, test.report.Execution = only.Agent, Execution{id, 1}
			v, err := m.Complete(t.Context(), test.report)
			require.NoError(t, err)
			require.Equal(t, Verdict{Accepted: true, State: test.state}, v)
			v, err = m.Complete(t.Context(), test.report)
			require.NoError(t, err)
			require.True(t, v.Duplicate, "a report repeated because its answer was lost")
		})
	}
}

func TestDeadline_Passes(t *testing.T) {
	m := newTestMachine(t, time.Hour)
	soon := func(d *Draft) { d.Deadline = time.Now().Add(time.Second) }
	id := mustSubmit(t, m, draft("k", soon))
	require.Eventually(t, func() bool { _, n, err := m.Expire(t.Context(), 10); return err == nil && n == 1 }, 5*time.Second, time.Millisecond)
	task, err := m.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, Dead, task.State)
	require.Equal(t, "the deadline passed", task.Error)
	require.Empty(t, attach(t, m, "a", 1).claim(t, 1))
	require.Equal(t, Stats{Queue: "q", Submitted: 1, Expired: 1}, queueStats(t, m))
}

func TestEvents_WakeAndFinish(t *testing.T) {
	m := newTestMachine(t, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waits, finished := make(chan []string, 16), make(chan string, 16)
	go m.Listen(ctx, Events{
		Waiting:  func(shape []string) { waits <- shape },
		Agent:    func(string) {},
		Finished: func(id string) { finished <- id },
	})
	require.Eventually(t, func() bool {
		n, err := m.redis.PubSubShardNumSub(ctx, m.prefix+"events").Result()
		return err == nil && n[m.prefix+"events"] == 1
	}, 5*time.Second, time.Millisecond)

	id := mustSubmit(t, m, draft("k", func(d *Draft) { d.Capabilities = []string{"b", "a"} }))
	require.Equal(t, []string{"a", "b"}, <-waits)
	attach(t, m, "a", 1, "a", "b").claim(t, 1)
	_, err := m.Complete(ctx, Report{Agent: "a", Execution: Execution{id, 1}})
	require.NoError(t, err)
	require.Equal(t, id, <-finished)
}
