package docker

import (
	"testing"
	"time"
	"unicode/utf8"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

func (b *bench) run(id string, args ...string) {
	b.t.Helper()
	e, err := b.api.ContainerExecCreate(b.ctx, id, container.ExecOptions{Cmd: append([]string{"/app"}, args...)})
	require.NoError(b.t, err)
	require.NoError(b.t, b.api.ContainerExecStart(b.ctx, e.ID, container.ExecStartOptions{}))
	require.Eventually(b.t, func() bool {
		done, err := b.api.ContainerExecInspect(b.ctx, e.ID)
		return err == nil && !done.Running && done.ExitCode == 0
	}, patience, 20*time.Millisecond)
}

func (b *bench) healthy(r runbook.Replica, check bool, hold, deadline time.Duration) runbook.Health {
	b.t.Helper()
	h, err := b.hand.AwaitHealthy(b.ctx, runbook.AwaitHealthyInput{ID: r.ID, Name: r.Name, Healthcheck: check,
		MinHealthy: runbook.Duration(hold), Deadline: runbook.Duration(deadline)})
	require.NoError(b.t, err)
	return h
}

func TestAwaitHealthy(t *testing.T) {
	b := newBench(t)
	p := b.compose(modes)

	plain := b.one(p, "plain")
	h := b.healthy(plain, false, time.Second, patience)
	require.True(t, h.Healthy, h.Why)
	require.GreaterOrEqual(t, h.Took.D(), time.Second, "it had to hold")
	b.served(plain.ID)
	h = b.healthy(plain, true, 0, 100*time.Millisecond)
	require.Equal(t, "not healthy within 100ms: it has no HEALTHCHECK; its log ends: serving", h.Why)

	checked := b.one(p, "checked")
	h = b.healthy(checked, true, 0, 2*time.Second)
	require.False(t, h.Healthy)
	require.Contains(t, h.Why, "its check answers 1: no /tmp/ready", "never healthy")
	b.run(checked.ID, "touch", "/tmp/ready")
	h = b.healthy(checked, true, time.Second, patience)
	require.True(t, h.Healthy, h.Why)

	bad := b.one(p, "bad")
	h = b.healthy(bad, false, time.Minute, time.Minute)
	require.False(t, h.Healthy)
	require.Contains(t, h.Why, "exited with code 7; its log ends: …")
	require.Contains(t, h.Why, "the end, password=•••")
	require.LessOrEqual(t, len(h.Why), tailMax)
	require.True(t, utf8.ValidString(h.Why))

	eat := b.one(p, "eat")
	h = b.healthy(eat, false, time.Minute, time.Minute)
	require.Contains(t, h.Why, "killed for memory")

	loop := b.one(p, "loop")
	h = b.healthy(loop, false, time.Minute, time.Minute)
	require.Contains(t, h.Why, "restarted")

	require.NoError(t, b.api.ContainerKill(b.ctx, plain.ID, "KILL"))
	b.eventually(plain.ID, func(c container.InspectResponse) bool { return !c.State.Running })
	_, err := b.hand.RemoveReplica(b.ctx, runbook.ReplicaInput{ID: plain.ID, Name: plain.Name, Run: "r"})
	require.NoError(t, err)
	require.Equal(t, "it was removed", b.healthy(plain, false, time.Minute, time.Minute).Why)
}

// The engine would say nothing for an hour: the replica's own check is run for it.
func TestAwaitHealthyBeforeTheEngineHasJudged(t *testing.T) {
	b := newBench(t)
	p := b.compose(modes)

	patient := b.one(p, "patient")
	h := b.healthy(patient, true, 0, 2*time.Second)
	require.False(t, h.Healthy)
	require.Contains(t, h.Why, "its check answers 1: no /tmp/ready")
	b.run(patient.ID, "touch", "/tmp/ready")
	h = b.healthy(patient, true, time.Second, time.Minute)
	require.True(t, h.Healthy, h.Why)
	require.GreaterOrEqual(t, h.Took.D(), time.Second, "it had to hold")

	full, err := b.api.ContainerInspect(b.ctx, patient.ID)
	require.NoError(t, err)
	b.run(patient.ID, "untouch", "/tmp/ready")
	silent := runbook.Container{Health: runbook.HealthSilent, HealthSilent: runbook.Duration(time.Minute)}
	b.hand.ask(b.ctx, full, &silent)
	require.Equal(t, runbook.HealthSilent, silent.Health, "a census must not call well what does not pass")
	b.run(patient.ID, "touch", "/tmp/ready")
	b.hand.ask(b.ctx, full, &silent)
	require.Equal(t, container.Healthy, silent.Health)

	hanging := b.one(p, "hanging")
	h = b.healthy(hanging, true, 0, 10*time.Second)
	require.False(t, h.Healthy)
	require.Contains(t, h.Why, "its check hangs")
	top, err := b.api.ContainerTop(b.ctx, hanging.ID, nil)
	require.NoError(t, err)
	require.Len(t, top.Processes, 2, "its own process and one check, not one more every second")
}

func TestWatchReplica(t *testing.T) {
	b := newBench(t)
	p := b.compose(modes)
	watch := func(r runbook.Replica, window time.Duration) runbook.Health {
		h, err := b.hand.WatchReplica(b.ctx, runbook.WatchReplicaInput{ID: r.ID, Name: r.Name, Window: runbook.Duration(window)})
		require.NoError(t, err)
		return h
	}
	plain, checked := b.one(p, "plain"), b.one(p, "checked")
	h := watch(plain, time.Second)
	require.True(t, h.Healthy, h.Why)
	require.GreaterOrEqual(t, h.Took.D(), time.Second)

	answer := make(chan runbook.Health, 1)
	go func() { answer <- watch(plain, time.Minute) }()
	require.NoError(t, b.api.ContainerKill(b.ctx, plain.ID, "KILL"))
	h = <-answer
	require.Contains(t, h.Why, "exited with code 137")
	require.Less(t, h.Took.D(), time.Minute, "it answers early")

	b.run(checked.ID, "touch", "/tmp/ready")
	require.True(t, b.healthy(checked, true, 0, patience).Healthy)
	b.run(checked.ID, "untouch", "/tmp/ready")
	h = watch(checked, time.Minute)
	require.Contains(t, h.Why, "unhealthy")
}

func TestTailIsMasked(t *testing.T) {
	text := maskEnv("dial postgres://hive:sekret@db/x with token=abc and s3cr3t-value at 8080", []string{"PASSWORD=s3cr3t-value", "PORT=8080", "PATH=/usr/local/bin"})
	require.Equal(t, "dial postgres://•••@db/x with token=••• and ••• at 8080", text)
}

func TestClip(t *testing.T) {
	require.Equal(t, "abc", clip("abc", 5))
	require.Equal(t, "…ef", clip("abcdef", 5))
	require.Empty(t, clip("abcdef", 2))
	for n := range 40 {
		c := clip("ÄÖÜäöüß€…ÄÖÜäöüß", n)
		require.True(t, utf8.ValidString(c), n)
		require.LessOrEqual(t, len(c), n)
	}
}
