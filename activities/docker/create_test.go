package docker

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

const twoNetworks = `
name: PROJECT
services:
  web:
    image: IMAGE
    environment: {GREETING: hello}
    restart: unless-stopped
    stop_grace_period: 40s
    mem_limit: 64m
    cap_drop: [ALL]
    read_only: true
    tmpfs: [/tmp]
    volumes: ["data:/data", "../logs:/var/log/hive"]
    secrets: [key]
    networks: [front, back]
    depends_on: {other: {condition: service_started}}
  other:
    image: IMAGE
    networks: {front: {ipv4_address: SUBNET.7}}
networks:
  front: {ipam: {config: [{subnet: SUBNET.0/25}]}}
  back: {}
volumes: {data: {}}
secrets: {key: {file: ./key}}
`

func TestCreate(t *testing.T) {
	b := newBench(t)
	p := b.compose(twoNetworks)
	require.NoError(t, os.WriteFile(b.hand.path("stack/key"), []byte("k"), 0o600))
	require.NoError(t, b.hand.Networks(b.ctx, p))
	require.NoError(t, b.hand.Networks(b.ctx, p), "made already")
	require.NoError(t, b.hand.Volumes(b.ctx, p))
	require.NoError(t, b.hand.Volumes(b.ctx, p), "made already")

	r, err := b.hand.Create(b.ctx, p, p.Services["web"], Options{Number: 2, Address: b.subnet + ".99", Run: "weekly:1"})
	require.NoError(t, err)
	require.Equal(t, runbook.Replica{ID: r.ID, Name: b.project + "-web-2", Number: 2, Address: r.Address, Changed: true}, r)
	c := b.inspect(r.Name)
	require.True(t, c.State.Running)
	require.Equal(t, b.imageID(b.image), c.Image)
	require.Equal(t, b.image, c.Config.Image, "docker ps shows the name")
	require.Len(t, c.NetworkSettings.Networks, 2)
	require.Equal(t, b.subnet+".99", c.NetworkSettings.Networks[b.project+"_front"].IPAddress)
	require.Equal(t, "weekly:1", c.Config.Labels[labelRun])
	require.Equal(t, "other:service_started:false", c.Config.Labels[labelDependsOn])
	require.Equal(t, container.RestartPolicyUnlessStopped, c.HostConfig.RestartPolicy.Name)
	require.DirExists(t, b.hand.path("logs"), "a missing bind source is made")
	hash, err := Hash(p.Services["web"])
	require.NoError(t, err)
	require.Equal(t, hash, c.Config.Labels[labelHash])

	again, err := b.hand.Create(b.ctx, p, p.Services["web"], Options{Number: 2, Run: "weekly:1"})
	require.NoError(t, err)
	require.Equal(t, r.ID, again.ID)
	require.False(t, again.Changed)

	_, err = b.hand.Create(b.ctx, p, p.Services["web"], Options{Number: 2, Run: "weekly:2"})
	requireKind(t, runbook.Unsafe, err, "was made by run weekly:1")
	changed := p.Services["web"]
	changed.User = "1000"
	_, err = b.hand.Create(b.ctx, p, changed, Options{Number: 2, Run: "weekly:1"})
	requireKind(t, runbook.Unsafe, err, "was made from the configuration "+hash)

	fixed, err := b.hand.Create(b.ctx, p, p.Services["other"], Options{Number: 1, Address: b.subnet + ".50"})
	require.NoError(t, err)
	require.Equal(t, b.subnet+".7", fixed.Address, "the compose file's own address wins")
}

func TestCreateRefuses(t *testing.T) {
	b := newBench(t)
	for _, test := range []struct {
		what, service string
		kind          runbook.Kind
		says          string
	}{
		{"a field without words", "image: IMAGE\n    post_start: [{command: [touch, /x]}]", runbook.Refused, "post_start"},
		{"an absent image", "image: IMAGE.none", runbook.Missing, "pull or build it first"},
		{"a program that is not there", "image: IMAGE\n    entrypoint: [/nothing]", runbook.Refused, "could not be started"},
		{"a port out of range", "image: IMAGE\n    expose: ['70000']", runbook.Refused, "expose"},
		{"a secret that is no file", "image: IMAGE\n    secrets: [x]", runbook.Refused, "only a file can be mounted"},
	} {
		t.Run(test.what, func(t *testing.T) {
			p := b.compose("name: PROJECT\nservices:\n  web:\n    network_mode: none\n    " + test.service + "\nsecrets: {x: {environment: PATH}}\n")
			_, err := b.hand.Create(b.ctx, p, p.Services["web"], Options{Number: 1})
			requireKind(t, test.kind, err, test.says)
			b.gone(b.project + "-web-1")
		})
	}
}

func TestNetworkThatHasChangedIsLeft(t *testing.T) {
	b := newBench(t)
	text := "name: PROJECT\nservices: {web: {image: IMAGE}}\nnetworks: {default: {driver_opts: {com.docker.network.bridge.name: BRIDGE}}}\n"
	require.NoError(t, b.hand.Networks(b.ctx, b.compose(strings.Replace(text, "BRIDGE", "hv"+b.project[8:14], 1))))
	err := b.hand.Networks(b.ctx, b.compose(strings.Replace(text, "BRIDGE", "other", 1)))
	requireKind(t, runbook.Unsafe, err, "another configuration")
}

func TestCensus(t *testing.T) {
	b := newBench(t)
	p := b.compose("name: PROJECT\nservices:\n  web: {image: IMAGE, environment: {PASSWORD: canary-4711}, logging: {driver: json-file, options: {max-size: 1m}}}\n  bad: {image: IMAGE, command: [exit]}\n")
	require.NoError(t, b.hand.Networks(b.ctx, p))
	for _, n := range []int{2, 1} {
		_, err := b.hand.Create(b.ctx, p, p.Services["web"], Options{Number: n, Run: "r"})
		require.NoError(t, err)
	}
	_, err := b.hand.Create(b.ctx, p, p.Services["bad"], Options{Number: 1})
	require.NoError(t, err)
	b.eventually(b.project+"-bad-1", func(c container.InspectResponse) bool { return c.State.Status == container.StateExited })

	census, err := b.hand.TakeCensus(b.ctx, runbook.CensusInput{Project: b.project})
	require.NoError(t, err)
	require.Len(t, census.Containers, 3)
	bad, web := census.Containers[0], census.Of("web")
	require.Equal(t, []int{1, 2}, []int{web[0].Number, web[1].Number})
	require.Equal(t, "running", web[0].State)
	require.Equal(t, b.image, web[0].Image)
	require.Equal(t, "r", web[0].Run)
	require.NotEmpty(t, web[0].Address)
	require.WithinDuration(t, time.Now(), web[0].Started, time.Minute)
	require.True(t, web[0].LogLimited)
	require.Equal(t, []any{"exited", 7, ""}, []any{bad.State, bad.ExitCode, bad.Run})

	_, err = b.hand.TakeCensus(b.ctx, runbook.CensusInput{})
	requireKind(t, runbook.Refused, err)
}

func TestEngineThatIsAway(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	api, err := Open()
	require.NoError(t, err)
	_, err = Hand{API: api}.TakeCensus(t.Context(), runbook.CensusInput{Project: "p"})
	requireKind(t, runbook.Unreachable, err, "does not answer")
}

func TestMeasure(t *testing.T) {
	b := newBench(t)
	p := b.compose("name: PROJECT\nservices:\n  busy: {image: IMAGE, command: [spin], network_mode: none, mem_limit: 32m, cpus: 0.2}\n  idle: {image: IMAGE, network_mode: none}\n")
	for _, name := range []string{"busy", "idle"} {
		_, err := b.hand.Create(b.ctx, p, p.Services[name], Options{Number: 1})
		require.NoError(t, err)
	}
	var busy, idle runbook.ContainerStats
	require.Eventually(t, func() bool {
		out, err := b.hand.Measure(b.ctx, runbook.StatsInput{Project: b.project})
		require.NoError(t, err)
		require.Len(t, out.Containers, 2)
		busy, idle = out.Containers[0], out.Containers[1]
		return busy.CPU > 0.05
	}, patience, 20*time.Millisecond, "it spins")
	require.Equal(t, "busy", busy.Service)
	require.Less(t, busy.CPU, 0.6, "it may use a fifth of a core")
	require.Less(t, idle.CPU, 0.05)
	require.EqualValues(t, 32<<20, busy.MemoryLimit)
	require.Positive(t, busy.MemoryBytes)
	require.Less(t, busy.MemoryBytes, int64(32<<20))
}

func TestLogLimited(t *testing.T) {
	for _, test := range []struct {
		log     container.LogConfig
		limited bool
	}{
		{container.LogConfig{Type: "json-file"}, false},
		{container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "-1"}}, false},
		{container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "10m"}}, true},
		{container.LogConfig{Type: "local"}, true},
		{container.LogConfig{Type: "none"}, true},
	} {
		require.Equal(t, test.limited, logLimited(test.log), test.log)
	}
}
