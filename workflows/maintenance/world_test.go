package maintenance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/health"
	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	oldImage, newImage   = "sha256:0000old", "sha256:1111new"
	oldDigest, newDigest = "sha256:d-old", "sha256:d-new"
	hub, engine          = "communication-hub", "specialized-engines"
)

// world is a stack in memory: what the hands would act on. It watches the safety
// rules at every act and remembers each breach.
type world struct {
	mu         sync.Mutex
	t          *testing.T
	containers map[string]*runbook.Container
	upstream   []string
	tags       map[string]string
	digest     string
	taken      map[string]bool
	draining   map[string]bool
	aside      map[string]bool // containers that were drained by a control step
	unpolled   bool            // nobody takes control steps up
	served     int
	thirsty    int // supplies without which no request reaches a replica
	breaches   []string
	acts       []string

	// never, crashes, errors5xx, silent are what the new image does wrong.
	never, crashes, errors5xx, silent, killed bool
	// moving: what is started again has another address, as a replica that compose made.
	moving bool
	// failAt fails the act of that number, once, as final; 0 none.
	failAt int
	// onAct is called before every act, with its number.
	onAct func(int)
	held  *runbook.Holder
	// policy changes what the run is given of the policy and the stack.
	policy func(*runbook.LoadPolicyOutput)
	db     databaseWorld
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, containers: map[string]*runbook.Container{}, tags: map[string]string{}, digest: newDigest,
		taken: map[string]bool{}, draining: map[string]bool{}, aside: map[string]bool{}}
	for n := 1; n <= 2; n++ {
		w.put(hub, n, oldImage, fmt.Sprintf("10.0.0.%d", n))
		w.put(engine, n, oldImage, fmt.Sprintf("10.0.1.%d", n))
	}
	w.upstream = []string{"10.0.0.1:8082", "10.0.0.2:8082"}
	w.tags["reg/hub:2"], w.tags["reg/engine:2"] = oldImage, oldImage
	return w
}

func (w *world) put(service string, n int, image, ip string) *runbook.Container {
	c := &runbook.Container{ID: fmt.Sprintf("id-%s-%d", service, n), Name: fmt.Sprintf("leanvibe-%s-%d", service, n), Service: service, Number: n,
		ImageID: image, State: "running", Health: "healthy", Address: ip, ConfigHash: "hash", LogLimited: true}
	w.containers[c.ID] = c
	return c
}

func (w *world) loaded() runbook.LoadPolicyOutput {
	minute := runbook.Duration(time.Minute)
	return runbook.LoadPolicyOutput{
		Policy: runbook.Policy{
			Environment: "test", Hash: "sha256:policy", Proxy: runbook.ProxyPolicy{Service: "nginx", URL: "http://proxy", Quiet: runbook.Duration(3 * time.Second)},
			Rolling: runbook.RollingPolicy{Monitor: runbook.Duration(25 * time.Second), MinRequests: 50, MaxErrorRatio: 0.01, MaxLatencyFactor: 3,
				LatencyFloor: runbook.Duration(100 * time.Millisecond), HealthyDeadline: minute, LockWait: minute, SideBySide: 3, MaxReplicas: 5},
			Database: runbook.DatabasePolicy{Name: "leanvibe_production", Service: "postgres", Window: runbook.Duration(time.Hour), MinLeafDensity: 50, MinIndexBytes: 1, ConnectionBudget: 0.8},
			Logs:     runbook.LogPolicy{Directory: "logs", CompressAfter: runbook.Duration(7 * 24 * time.Hour), DeleteAfter: runbook.Duration(30 * 24 * time.Hour)},
			Metrics:  runbook.MetricsPolicy{Alertmanager: "http://alerts"},
		},
		Stack: runbook.Stack{Project: "leanvibe", ReplicaRange: "10.0.0.0/16", Compose: "out/state/runs/x/compose.json", ComposeHash: "sha256:c",
			Services: []runbook.Service{
				{Name: hub, Role: runbook.RoleApp, Order: 20, Replicas: 2, Image: "reg/hub:2", ConfigHash: "hash", Upstream: hub, ProxyHealth: "/health/hub",
					Probe: &runbook.Probe{HTTP: "/readyz", Port: 8082}, HasHealthcheck: true, LogLimited: true, StopGrace: runbook.Duration(10 * time.Second)},
				{Name: engine, Role: runbook.RoleWorker, Order: 30, Replicas: 2, Image: "reg/engine:2", ConfigHash: "hash",
					Probe: &runbook.Probe{HTTP: "/readyz", Port: 8083}, Supply: &runbook.Supply{Path: "/v1/tasks", Post: "{}"}, LogLimited: true},
			}},
	}
}

// act counts an act, fails it where the test says so, and holds the fence rule.
func (w *world) act(step string, f runbook.Fence, target string) error {
	w.mu.Lock()
	w.acts = append(w.acts, step+" "+target)
	n := len(w.acts)
	if f.Token == "" {
		w.breach("%s on %s without the lock %q", step, target, f.Resource)
	}
	on, fail := w.onAct, w.failAt
	w.mu.Unlock()
	if on != nil {
		on(n)
	}
	if fail == n {
		return runbook.Fail(runbook.Refused, "planted at act %d (%s %s)", n, step, target)
	}
	return nil
}

func (w *world) breach(format string, args ...any) {
	w.breaches = append(w.breaches, fmt.Sprintf(format, args...))
}

// serving is how many healthy replicas the proxy can reach now.
func (w *world) serving() int {
	n := 0
	for _, a := range w.upstream {
		for _, c := range w.containers {
			if c.Address+":8082" == a && c.State == "running" {
				n++
			}
		}
	}
	return n
}

func (w *world) census() runbook.Census {
	var out runbook.Census
	for _, c := range w.containers {
		out.Containers = append(out.Containers, *c)
	}
	sort.Slice(out.Containers, func(i, j int) bool { return out.Containers[i].Name < out.Containers[j].Name })
	return out
}

// picture is the end state without ids, and without where replicas have moved: what a revert must restore.
func (w *world) picture() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, c := range w.census().Containers {
		out = append(out, strings.Join([]string{c.Name, c.State, c.ImageID}, " "))
	}
	var up []string
	for _, address := range w.upstream {
		up = append(up, strings.Replace(address, "10.9.", "10.0.", 1))
	}
	sort.Strings(up)
	out = append(out, "upstream "+strings.Join(up, " "))
	for _, tag := range slices.Sorted(maps.Keys(w.tags)) {
		if !strings.HasPrefix(tag, "hive-rollback/") {
			out = append(out, tag+" "+w.tags[tag])
		}
	}
	for name, yes := range w.draining {
		if yes {
			out = append(out, name+" drains")
		}
	}
	for name, yes := range w.aside {
		if yes {
			out = append(out, name+" stands aside")
		}
	}
	return out
}

func (w *world) bind(r runbook.Registry) {
	runbook.LoadPolicy.Bind(r, func(context.Context, runbook.LoadPolicyInput) (runbook.LoadPolicyOutput, error) {
		out := w.loaded()
		if w.policy != nil {
			w.policy(&out)
		}
		return out, nil
	})
	w.bindContainers(r)
	w.bindReplicas(r)
	w.bindProxy(r)
	w.bindProbes(r)
	w.bindOthers(r)
	w.bindControl(r)
	w.db.bind(r, w)
}

func (w *world) bindContainers(r runbook.Registry) {
	runbook.TakeCensus.Bind(r, func(context.Context, runbook.CensusInput) (runbook.Census, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.census(), nil
	})
	runbook.ResolveImage.Bind(r, func(_ context.Context, in runbook.ResolveImageInput) (runbook.ResolvedImage, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		local := oldDigest
		if w.tags[in.Image] == newImage {
			local = newDigest
		}
		return runbook.ResolvedImage{Image: in.Image, Source: "registry", Digest: w.digest, LocalID: w.tags[in.Image], LocalDigest: local}, nil
	})
	runbook.PullImage.Bind(r, func(_ context.Context, in runbook.PullImageInput) (runbook.PulledImage, error) {
		return runbook.PulledImage{ImageID: newImage, Changed: true}, w.act("pull", in.Fence, in.Image)
	})
	runbook.TagImage.Bind(r, func(_ context.Context, in runbook.TagImageInput) (runbook.Changed, error) {
		if err := w.act("tag", in.Fence, in.Tag); err != nil {
			return runbook.Changed{}, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		changed := w.tags[in.Tag] != in.ImageID
		w.tags[in.Tag] = in.ImageID
		return runbook.Changed{Changed: changed}, nil
	})
	runbook.ListReclaimable.Bind(r, func(context.Context, runbook.ReclaimInput) (runbook.ReclaimList, error) {
		return runbook.ReclaimList{}, nil
	})
}

func (w *world) bindReplicas(r runbook.Registry) {
	runbook.CreateReplica.Bind(r, func(_ context.Context, in runbook.CreateReplicaInput) (runbook.Replica, error) {
		if err := w.act("create", in.Fence, in.Service); err != nil {
			return runbook.Replica{}, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, there := w.containers[fmt.Sprintf("id-%s-%d", in.Service, in.Number)]; there {
			w.breach("%s-%d made twice", in.Service, in.Number)
		}
		c := w.put(in.Service, in.Number, in.ImageID, fmt.Sprintf("10.0.9.%d", len(w.acts)))
		c.Run = in.Run
		return runbook.Replica{ID: c.ID, Name: c.Name, Number: c.Number, Address: c.Address, Changed: true}, nil
	})
	runbook.AwaitHealthy.Bind(r, func(_ context.Context, in runbook.AwaitHealthyInput) (runbook.Health, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if c := w.containers[in.ID]; c.ImageID == newImage && w.never {
			return runbook.Health{Why: "never healthy"}, nil
		}
		return runbook.Health{Healthy: true}, nil
	})
	runbook.WatchReplica.Bind(r, func(_ context.Context, in runbook.WatchReplicaInput) (runbook.Health, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if c := w.containers[in.ID]; c.ImageID == newImage && w.crashes {
			return runbook.Health{Why: "exited with code 1"}, nil
		}
		return runbook.Health{Healthy: true}, nil
	})
	runbook.StopReplica.Bind(r, func(_ context.Context, in runbook.ReplicaInput) (runbook.Stopped, error) {
		if err := w.act("stop", in.Fence, in.Name); err != nil {
			return runbook.Stopped{}, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		c := w.containers[in.ID]
		if slices.Contains(w.upstream, c.Address+":8082") {
			w.breach("%s stopped while the proxy routes to it", c.Name)
		}
		if c.Service == engine && !w.draining[c.Name] && c.Run == "" {
			w.breach("%s stopped while it takes tasks", c.Name)
		}
		c.State = "exited"
		delete(w.draining, c.Name)
		delete(w.aside, c.Name)
		return runbook.Stopped{Changed: true, Killed: w.killed}, nil
	})
	runbook.StartReplica.Bind(r, func(_ context.Context, in runbook.ReplicaInput) (runbook.Replica, error) {
		if err := w.act("start", in.Fence, in.Name); err != nil {
			return runbook.Replica{}, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		c := w.containers[in.ID]
		c.State = "running"
		if w.moving {
			c.Address = strings.Replace(c.Address, "10.0.", "10.9.", 1)
		}
		return runbook.Replica{ID: c.ID, Name: c.Name, Address: c.Address, Changed: true}, nil
	})
	runbook.RemoveReplica.Bind(r, func(_ context.Context, in runbook.ReplicaInput) (runbook.Changed, error) {
		if err := w.act("remove", in.Fence, in.Name); err != nil {
			return runbook.Changed{}, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if c := w.containers[in.ID]; c != nil && c.State == "running" {
			w.breach("%s removed while it runs", c.Name)
		}
		delete(w.containers, in.ID)
		return runbook.Changed{Changed: true}, nil
	})
}

func (w *world) bindProxy(r runbook.Registry) {
	runbook.ObserveProxy.Bind(r, func(context.Context, runbook.ProxyInput) (runbook.ProxyState, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return runbook.ProxyState{Upstreams: map[string][]string{hub: slices.Clone(w.upstream)}, KeepaliveMin: true}, nil
	})
	runbook.SetUpstream.Bind(r, func(_ context.Context, in runbook.SetUpstreamInput) (runbook.ProxyChange, error) {
		if err := w.act("route", in.Fence, strings.Join(in.Addresses, ",")); err != nil {
			return runbook.ProxyChange{}, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		changed := !slices.Equal(w.upstream, in.Addresses)
		w.upstream = slices.Clone(in.Addresses)
		if w.serving() < 1 {
			w.breach("the proxy routes to nobody: %v", in.Addresses)
		}
		return runbook.ProxyChange{Changed: changed}, nil
	})
	traffic := func(context.Context, runbook.WatchTrafficInput) (runbook.TrafficSeen, error) {
		return runbook.TrafficSeen{Met: true, Requests: 1}, nil
	}
	runbook.AwaitTraffic.Bind(r, func(context.Context, runbook.WatchTrafficInput) (runbook.TrafficSeen, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return runbook.TrafficSeen{Met: w.served >= w.thirsty, Requests: 1}, nil
	})
	runbook.AwaitQuiet.Bind(r, traffic)
	runbook.MeasureWindow.Bind(r, func(context.Context, runbook.MeasureWindowInput) (runbook.WindowMeasure, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		m := runbook.WindowMeasure{Address: runbook.WindowCounts{Requests: 500}}
		switch {
		case w.errors5xx:
			m.Address.Failed = 50
		case w.silent, w.served < w.thirsty:
			m.Address.Requests = 0
		}
		return m, nil
	})
	runbook.MeasureTraffic.Bind(r, func(context.Context, runbook.MeasureTrafficInput) (runbook.Traffic, error) {
		return runbook.Traffic{Source: "nginx", Requests: 1000}, nil
	})
}

func (w *world) bindProbes(r runbook.Registry) {
	runbook.AwaitAnswer.Bind(r, func(context.Context, runbook.AwaitAnswerInput) (runbook.Health, error) {
		return runbook.Health{Healthy: true}, nil
	})
	runbook.SupplyTraffic.Bind(r, func(context.Context, runbook.SupplyInput) (runbook.Supplied, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.served++
		return runbook.Supplied{Sent: 100}, nil
	})
	runbook.Watch.Bind(r, func(context.Context, runbook.WatchInput) (runbook.Traffic, error) {
		return runbook.Traffic{Source: "probe", Requests: 10}, nil
	})
	state := func(context.Context, runbook.WorkerInput) (runbook.WorkerState, error) {
		return runbook.WorkerState{Met: true, TasksTaken: 1}, nil
	}
	runbook.AwaitTaskTaken.Bind(r, func(context.Context, runbook.WorkerInput) (runbook.WorkerState, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return runbook.WorkerState{Met: !w.silent}, nil
	})
	runbook.AwaitIdle.Bind(r, state)
	drain := func(on bool) func(context.Context, runbook.WorkerInput) (runbook.WorkerState, error) {
		return func(_ context.Context, in runbook.WorkerInput) (runbook.WorkerState, error) {
			if err := w.act(map[bool]string{true: "drain", false: "resume"}[on], in.Fence, in.Name); err != nil {
				return runbook.WorkerState{}, err
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, c := range w.containers {
				if c.Name == in.Name && in.URL != "http://"+c.Address+":8083" {
					return runbook.WorkerState{}, runbook.Fail(runbook.Refused, "%s does not answer at %s, it is at %s", in.Name, in.URL, c.Address)
				}
			}
			w.draining[in.Name] = on
			return runbook.WorkerState{Draining: on, Met: true}, nil
		}
	}
	runbook.DrainWorker.Bind(r, drain(true))
	runbook.ResumeWorker.Bind(r, drain(false))
	runbook.AskAll.Bind(r, func(_ context.Context, in runbook.AskAllInput) (runbook.Answers, error) {
		return runbook.Answers{Answers: make([]runbook.Answer, len(in.Questions))}, nil
	})
}

func (w *world) bindOthers(r runbook.Registry) {
	runbook.OpenSilence.Bind(r, func(_ context.Context, in runbook.SilenceInput) (runbook.Silence, error) {
		return runbook.Silence{ID: "s-" + in.Resource}, nil
	})
	runbook.CloseSilence.Bind(r, func(context.Context, runbook.SilenceInput) (runbook.Changed, error) {
		return runbook.Changed{Changed: true}, nil
	})
	runbook.WriteArtefact.Bind(r, func(_ context.Context, in runbook.ArtefactInput) (runbook.Artefact, error) {
		return runbook.Artefact{Path: in.Path}, nil
	})
	runbook.ReadLedgerHead.Bind(r, func(context.Context, runbook.LedgerInput) (runbook.LedgerHead, error) {
		return runbook.LedgerHead{Seq: 7, Hash: "head"}, nil
	})
	runbook.SendNotice.Bind(r, func(context.Context, runbook.NoticeInput) (runbook.NoticeOutput, error) {
		return runbook.NoticeOutput{Delivered: []string{"file"}}, nil
	})
	runbook.AwaitLock.Bind(r, func(context.Context, runbook.AwaitLockInput) (runbook.Holder, error) {
		if w.held == nil {
			return runbook.Holder{}, errors.New("no lock is held in this test")
		}
		return *w.held, nil
	})
	runbook.ListLogs.Bind(r, func(context.Context, runbook.LogsInput) (runbook.LogFiles, error) {
		return runbook.LogFiles{Now: time.Now()}, nil
	})
}

// patience bounds what a workflow or a step does at a stretch, on a machine that may stand still for a while.
const patience = 5 * time.Minute

// run runs a procedure in the world on the virtual clock.
func (w *world) run(name string, in any, before ...func(*testsuite.TestWorkflowEnvironment)) (runbook.Report, error) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(patience)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: patience})
	w.bind(env)
	env.RegisterWorkflowWithOptions(flow.Lock, workflow.RegisterOptions{Name: flow.LockName})
	RollingRestart.Bind(env, RunRollingRestart)
	ScaleService.Bind(env, RunScaleService)
	DatabaseMaintenance.Bind(env, RunDatabaseMaintenance)
	LogManagement.Bind(env, RunLogManagement)
	WeeklyMaintenance.Bind(env, RunWeeklyMaintenance)
	health.ReadinessCheck.Bind(env, func(_ workflow.Context, _ health.ReadinessCheckInput) (runbook.Report, error) {
		return runbook.Report{Procedure: health.ReadinessCheck.Name, Outcome: runbook.Succeeded}, nil
	})
	for _, f := range before {
		f(env)
	}
	env.ExecuteWorkflow(name, in)
	require.True(w.t, env.IsWorkflowCompleted())
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Empty(w.t, w.breaches, "safety rules broken; acts: %v", w.acts)
	return outcome(w.t, env)
}
