package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

const rolled = `
name: PROJECT
services:
  app:
    image: IMAGE
    restart: always
    environment: {PRICE: "5$$ and $${more}", PASSWORD: canary-4711, EMPTY: }
    command: ["serve", "$$HOME"]
    deploy: {replicas: 2, resources: {limits: {memory: 64M}}}
    ulimits: {nofile: 1024, nproc: {soft: 100, hard: 200}}
    healthcheck: {test: ["CMD", "/app", "check", "/run/keep"], interval: 1s, start_period: 2s}
    stop_grace_period: 1m30s
    networks: [net]
networks:
  net: {ipam: {config: [{subnet: SUBNET.0/24, ip_range: SUBNET.128/25, gateway: SUBNET.1}]}}
`

// input writes the run's copy as policy does.
func (b *bench) input(p *types.Project, service string, number int, run string) runbook.CreateReplicaInput {
	b.t.Helper()
	body, err := p.MarshalJSON()
	require.NoError(b.t, err)
	file := filepath.Join("out", "state", "runs", "r", "compose.json")
	require.NoError(b.t, os.MkdirAll(filepath.Dir(b.hand.path(file)), 0o700))
	require.NoError(b.t, os.WriteFile(b.hand.path(file), body, 0o600))
	sum := sha256.Sum256(body)
	return runbook.CreateReplicaInput{
		Project: b.project, Service: service, Number: number, ImageID: b.imageID(b.image), Image: b.image,
		Compose: file, ComposeHash: "sha256:" + hex.EncodeToString(sum[:]), Fixed: true, ReplicaRange: b.subnet + ".16/28", Run: run,
	}
}

func TestCreateReplica(t *testing.T) {
	b := newBench(t)
	p := b.compose(rolled)
	require.NoError(t, b.hand.Networks(b.ctx, p))
	in := b.input(p, "app", 3, "weekly:1")
	r, err := b.hand.CreateReplica(b.ctx, in)
	require.NoError(t, err)
	require.True(t, r.Changed)
	require.Equal(t, b.subnet+".17", r.Address)
	c := b.inspect(r.ID)
	hash, err := Hash(p.Services["app"])
	require.NoError(t, err)
	require.Equal(t, hash, c.Config.Labels[labelHash], "the copy gives the hash of the file")
	require.Contains(t, c.Config.Env, "PRICE=5$ and ${more}")
	require.Equal(t, []string{"serve", "$HOME"}, []string(c.Config.Cmd))
	require.Equal(t, b.hand.path("stack/compose.yaml"), c.Config.Labels[labelConfigFiles])
	require.Equal(t, b.hand.path("stack"), c.Config.Labels[labelWorkingDir])

	again, err := b.hand.CreateReplica(b.ctx, in)
	require.NoError(t, err)
	require.Equal(t, r.ID, again.ID, "a killed predecessor's replica is adopted")
	require.False(t, again.Changed)

	in.Run = "weekly:2"
	_, err = b.hand.CreateReplica(b.ctx, in)
	requireKind(t, runbook.Unsafe, err, "runs", "run weekly:1")
	require.Equal(t, r.ID, b.inspect(r.Name).ID, "a running one is left alone")

	_, err = b.hand.StopReplica(b.ctx, runbook.ReplicaInput{ID: r.ID, Name: r.Name, Service: "app", Run: "weekly:1"})
	require.NoError(t, err)
	other, err := b.hand.CreateReplica(b.ctx, in)
	require.NoError(t, err)
	require.NotEqual(t, r.ID, other.ID, "a stopped one of another run gives way")
	b.gone(r.ID)
}

// Half-made replicas that a killed worker leaves: created and not started.
func TestCreateReplicaAfterAKill(t *testing.T) {
	b := newBench(t)
	p := b.compose(rolled)
	require.NoError(t, b.hand.Networks(b.ctx, p))
	for _, run := range []string{"weekly:1", "weekly:2"} {
		in := b.input(p, "app", 1, run)
		d, err := translate(p, p.Services["app"], Options{Number: 1, ImageID: in.ImageID, Image: in.Image, Run: "weekly:1"})
		require.NoError(t, err)
		d.Config.Image = b.image
		half, err := b.api.ContainerCreate(b.ctx, d.Config, d.Host, nil, nil, d.Name)
		require.NoError(t, err)
		r, err := b.hand.CreateReplica(b.ctx, in)
		require.NoError(t, err)
		require.True(t, b.inspect(r.ID).State.Running)
		require.NotEqual(t, half.ID, r.ID)
		b.gone(half.ID)
		_, err = b.hand.StopReplica(b.ctx, runbook.ReplicaInput{ID: r.ID, Name: r.Name, Run: run})
		require.NoError(t, err)
		_, err = b.hand.RemoveReplica(b.ctx, runbook.ReplicaInput{ID: r.ID, Name: r.Name, Run: run})
		require.NoError(t, err)
	}
	foreign, err := b.hand.Create(b.ctx, p, p.Services["app"], Options{Number: 1})
	require.NoError(t, err)
	require.NoError(t, b.api.ContainerKill(b.ctx, foreign.ID, "KILL"))
	b.eventually(foreign.ID, func(c container.InspectResponse) bool { return !c.State.Running })
	_, err = b.hand.CreateReplica(b.ctx, b.input(p, "app", 1, "weekly:3"))
	requireKind(t, runbook.Unsafe, err, "no run made it")
}

func TestCreateReplicaRefuses(t *testing.T) {
	b := newBench(t)
	p := b.compose(rolled)
	require.NoError(t, b.hand.Networks(b.ctx, p))
	for _, test := range []struct {
		what   string
		change func(*runbook.CreateReplicaInput)
		kind   runbook.Kind
		says   string
	}{
		{"a changed copy", func(in *runbook.CreateReplicaInput) { in.ComposeHash = "sha256:00" }, runbook.Corrupt, "somebody changed it"},
		{"no copy", func(in *runbook.CreateReplicaInput) { in.Compose = "out/none.json" }, runbook.Missing, "does not exist"},
		{"a path outside", func(in *runbook.CreateReplicaInput) { in.Compose = "../x" }, runbook.Refused, "inside the project"},
		{"an unknown service", func(in *runbook.CreateReplicaInput) { in.Service = "none" }, runbook.Missing, `no service "none"`},
		{"an image that is gone", func(in *runbook.CreateReplicaInput) { in.ImageID = "sha256:" + hex.EncodeToString(make([]byte, 32)) }, runbook.Missing, "not here any more"},
		{"no range", func(in *runbook.CreateReplicaInput) { in.ReplicaRange = "" }, runbook.Refused, "replica range"},
		{"a foreign range", func(in *runbook.CreateReplicaInput) { in.ReplicaRange = "192.0.2.0/24" }, runbook.Refused, "no configured subnet"},
	} {
		t.Run(test.what, func(t *testing.T) {
			in := b.input(p, "app", 1, "weekly:1")
			test.change(&in)
			_, err := b.hand.CreateReplica(b.ctx, in)
			requireKind(t, test.kind, err, test.says)
			require.NotContains(t, err.Error(), "canary")
			b.gone(b.project + "-app-1")
		})
	}
}

// No address is given again before all the others of the range were.
func TestAddressesAreGivenInTurn(t *testing.T) {
	b := newBench(t)
	p := b.compose(rolled)
	require.NoError(t, b.hand.Networks(b.ctx, p))
	foreign, err := b.hand.Create(b.ctx, p, p.Services["app"], Options{Number: 9, Address: b.subnet + ".18"})
	require.NoError(t, err)
	require.Equal(t, b.subnet+".18", foreign.Address)
	seen := map[string]int{}
	const free = 13 // of the 16, without the first, the last and the taken one
	for n := range free {
		a, err := b.hand.nextAddress(b.ctx, p, p.Services["app"], b.subnet+".16/28")
		require.NoError(t, err)
		require.Zero(t, seen[a], a)
		seen[a] = n
	}
	require.NotContains(t, seen, b.subnet+".18")
	a, err := b.hand.nextAddress(b.ctx, p, p.Services["app"], b.subnet+".16/28")
	require.NoError(t, err)
	require.Equal(t, b.subnet+".17", a, "around the end")
	info, err := os.Stat(b.hand.path(addressesFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	_, err = b.hand.nextAddress(b.ctx, p, p.Services["app"], b.subnet+".18/32")
	requireKind(t, runbook.Busy, err, "in use")
}

func TestAfter(t *testing.T) {
	ip := netip.MustParseAddr
	within := netip.MustParsePrefix("10.0.0.8/29")
	for _, test := range []struct {
		last, want string
		taken      []string
	}{
		{"", "10.0.0.9", nil},
		{"10.0.0.9", "10.0.0.10", nil},
		{"10.0.0.14", "10.0.0.9", nil},
		{"10.0.0.9", "10.0.0.12", []string{"10.0.0.10", "10.0.0.11"}},
		{"10.9.9.9", "10.0.0.9", nil},
		{"10.0.0.10", "", []string{"10.0.0.9", "10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14"}},
	} {
		taken := map[netip.Addr]bool{}
		for _, a := range test.taken {
			taken[ip(a)] = true
		}
		var last netip.Addr
		if test.last != "" {
			last = ip(test.last)
		}
		got := after(last, within, taken)
		if test.want == "" {
			require.False(t, got.IsValid())
		} else {
			require.Equal(t, ip(test.want), got)
		}
	}
}

// A stopped replica is started again with its restart policy.
func TestStopStartRemove(t *testing.T) {
	b := newBench(t)
	p := b.compose(rolled)
	require.NoError(t, b.hand.Networks(b.ctx, p))
	r, err := b.hand.CreateReplica(b.ctx, b.input(p, "app", 1, "weekly:1"))
	require.NoError(t, err)
	b.served(r.ID)
	in := runbook.ReplicaInput{ID: r.ID, Name: r.Name, Service: "app", Grace: runbook.Duration(20 * time.Second), Run: "weekly/main:1"}

	_, err = b.hand.RemoveReplica(b.ctx, in)
	requireKind(t, runbook.Unsafe, err, "only a stopped replica is removed")
	wrong := in
	wrong.Service = "hub"
	_, err = b.hand.StopReplica(b.ctx, wrong)
	requireKind(t, runbook.Unsafe, err, `of service "app" and not of "hub"`)

	s, err := b.hand.StopReplica(b.ctx, in)
	require.NoError(t, err)
	require.Equal(t, runbook.Stopped{Changed: true, ExitCode: 3, Took: s.Took}, s)
	require.True(t, b.inspect(r.ID).HostConfig.RestartPolicy.IsNone())
	file := b.hand.path("out/state/runs/weekly%2Fmain:1/containers/" + r.Name + ".json")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	var d document
	body, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(body, &d))
	require.Contains(t, d.Container.Config.Env, "PASSWORD=canary-4711", "it can be made again")

	s, err = b.hand.StopReplica(b.ctx, in)
	require.NoError(t, err)
	require.False(t, s.Changed, "stopped already")

	other := in
	other.Run = "weekly:2" // another run tidies up
	started, err := b.hand.StartReplica(b.ctx, other)
	require.NoError(t, err)
	require.True(t, started.Changed)
	require.Equal(t, r.Address, started.Address)
	require.Equal(t, container.RestartPolicyAlways, b.inspect(r.ID).HostConfig.RestartPolicy.Name)
	started, err = b.hand.StartReplica(b.ctx, in)
	require.NoError(t, err)
	require.False(t, started.Changed)

	b.served(r.ID)
	_, err = b.hand.StopReplica(b.ctx, in)
	require.NoError(t, err)
	gone, err := b.hand.RemoveReplica(b.ctx, in)
	require.NoError(t, err)
	require.True(t, gone.Changed)
	b.gone(r.ID)
	gone, err = b.hand.RemoveReplica(b.ctx, in)
	require.NoError(t, err)
	require.False(t, gone.Changed, "removed already")
	s, err = b.hand.StopReplica(b.ctx, in)
	require.NoError(t, err)
	require.False(t, s.Changed, "what is gone is stopped")
	_, err = b.hand.StartReplica(b.ctx, in)
	requireKind(t, runbook.Missing, err)
}

const modes = `
name: PROJECT
services:
  stubborn: {image: IMAGE, command: [stubborn], network_mode: none, restart: always}
  gentle: {image: IMAGE, command: [stubborn], network_mode: none, restart: always, stop_signal: SIGINT}
  slow: {image: IMAGE, command: [slow], network_mode: none, restart: always}
  loop: {image: IMAGE, command: [exit], network_mode: none, restart: always}
  eat: {image: IMAGE, command: [eat], network_mode: none, mem_limit: 24m, memswap_limit: 24m}
  bad: {image: IMAGE, command: [exit], network_mode: none, environment: {CANARY: canary-4711}}
  plain: {image: IMAGE, network_mode: none}
  checked:
    image: IMAGE
    network_mode: none
    healthcheck: {test: ["CMD", "/app", "check", "/tmp/ready"], interval: 500ms, timeout: 5s, retries: 1}
  patient:
    image: IMAGE
    network_mode: none
    healthcheck: {test: ["CMD", "/app", "check", "/tmp/ready"], interval: 1h, timeout: 5s}
  hanging:
    image: IMAGE
    network_mode: none
    healthcheck: {test: ["CMD", "/app", "stubborn"], interval: 1h, timeout: 3s}
`

func (b *bench) one(p *types.Project, service string) runbook.Replica {
	b.t.Helper()
	r, err := b.hand.Create(b.ctx, p, p.Services[service], Options{Number: 1, Run: "r"})
	require.NoError(b.t, err)
	return r
}

func (b *bench) stop(c runbook.Replica, grace time.Duration) (runbook.Stopped, error) {
	return b.hand.StopReplica(b.ctx, runbook.ReplicaInput{ID: c.ID, Name: c.Name, Run: "r", Grace: runbook.Duration(grace)})
}

func TestStopBySignals(t *testing.T) {
	b := newBench(t)
	p := b.compose(modes)
	stubborn, gentle, loop := b.one(p, "stubborn"), b.one(p, "gentle"), b.one(p, "loop")
	b.served(stubborn.ID)
	b.served(gentle.ID)

	s, err := b.stop(stubborn, time.Second)
	require.NoError(t, err)
	require.True(t, s.Killed)
	require.Equal(t, 137, s.ExitCode)
	require.GreaterOrEqual(t, s.Took.D(), time.Second)
	require.False(t, b.inspect(stubborn.ID).State.Running)

	s, err = b.stop(gentle, patience)
	require.NoError(t, err)
	require.Equal(t, []any{false, 4}, []any{s.Killed, s.ExitCode}, "its own stop signal was sent")

	b.eventually(loop.ID, func(c container.InspectResponse) bool { return c.RestartCount > 1 })
	// The engine fails to change a container that is just being started, and may have changed it all
	// the same: the step is tried again then, and may find it done.
	tries := 0
	require.Eventually(t, func() bool {
		tries++
		s, err = b.stop(loop, time.Second)
		return err == nil || runbook.KindOf(err) != runbook.Unreachable
	}, patience, 100*time.Millisecond)
	require.NoError(t, err)
	require.True(t, s.Changed || tries > 1)
	require.Equal(t, container.StateExited, b.inspect(loop.ID).State.Status)
	gone, err := b.hand.RemoveReplica(b.ctx, runbook.ReplicaInput{ID: loop.ID, Name: loop.Name, Run: "r"})
	require.NoError(t, err)
	require.True(t, gone.Changed)
}

// A stop that is cancelled, or whose worker is killed, is taken up where it was:
// one signal, one grace time.
func TestStopIsTakenUp(t *testing.T) {
	b := newBench(t)
	slow := b.one(b.compose(modes), "slow")
	b.served(slow.ID)
	ctx, cancel := context.WithCancel(b.ctx)
	first := make(chan error, 1)
	go func() {
		_, err := b.hand.StopReplica(ctx, runbook.ReplicaInput{ID: slow.ID, Name: slow.Name, Run: "r", Grace: runbook.Duration(time.Minute)})
		first <- err
	}()
	require.Eventually(t, func() bool {
		d := document{}
		_, err := b.hand.read("out/state/runs/r/containers/"+slow.Name+".json", &d)
		return err == nil && !d.Stop.Signalled.IsZero()
	}, patience, 10*time.Millisecond)
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	require.True(t, b.inspect(slow.ID).State.Running)

	s, err := b.stop(slow, time.Minute)
	require.NoError(t, err)
	require.Equal(t, []any{true, false, 0}, []any{s.Changed, s.Killed, s.ExitCode}, b.logs(slow.ID))
}
