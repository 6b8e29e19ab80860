package operations

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"github.com/leanvibe/hive/workflows/runbook"
)

// gateBeat is well below the shortest heartbeat timeout of a step, 10 s.
const gateBeat = 2 * time.Second

// steps stands around every act: fenced writes pass the gate, and each act is
// timed and its failure counted by kind.
type steps struct {
	interceptor.WorkerInterceptorBase
	gate     *gate
	effects  map[string]runbook.Effect
	duration *prometheus.HistogramVec
	failures *prometheus.CounterVec
}

func newSteps(registry prometheus.Registerer, g *gate) *steps {
	s := &steps{
		gate: g, effects: map[string]runbook.Effect{},
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "hive_step_duration_seconds",
			Help:    "Time of one attempt of a step, its wait at the gate left out.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
		}, []string{"step"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hive_step_failures_total",
			Help: "Failed attempts of steps by kind; canceled and unclassified are no hand's verdict.",
		}, []string{"step", "kind"}),
	}
	registry.MustRegister(s.duration, s.failures)
	return s
}

// know takes a step's name and effect over, before the worker starts.
func (s *steps) know(step string, effect runbook.Effect) { s.effects[step] = effect }

// effect says what a step does to the world.
func (s *steps) effect(step string) runbook.Effect { return s.effects[step] }

// InterceptActivity serves interceptor.WorkerInterceptor.
func (s *steps) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	a := &act{steps: s}
	a.Next = next
	return a
}

type act struct {
	interceptor.ActivityInboundInterceptorBase
	steps *steps
}

// ExecuteActivity serves interceptor.ActivityInboundInterceptor.
func (a *act) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (out any, err error) {
	step := activity.GetInfo(ctx).ActivityType.Name
	leave, err := a.steps.enter(ctx, step, in.Args)
	if err != nil {
		a.steps.failures.WithLabelValues(step, kind(err)).Inc()
		return nil, err
	}
	defer leave()
	start := time.Now()
	err = errPanicked // until the act returns
	defer func() {
		a.steps.duration.WithLabelValues(step).Observe(time.Since(start).Seconds())
		if err != nil {
			a.steps.failures.WithLabelValues(step, kind(err)).Inc()
		}
	}()
	out, err = a.Next.ExecuteActivity(ctx, in)
	return out, err
}

var errPanicked = errors.New("the act panicked")

// enter passes the gate where the step writes under a lock.
func (s *steps) enter(ctx context.Context, step string, args []any) (leave func(), err error) {
	if s.effects[step] == runbook.Read || len(args) != 1 {
		return func() {}, nil
	}
	fenced, ok := args[0].(runbook.Fenced)
	if !ok {
		return func() {}, nil
	}
	defer beating(ctx)()
	return s.gate.Enter(ctx, fenced.Fencing())
}

// beating heartbeats until the returned call. It says again what the attempt before
// said: a retry of the act may look for its predecessor by that.
func beating(ctx context.Context) (stop func()) {
	var details []any
	var said converter.RawValue
	if activity.HasHeartbeatDetails(ctx) && activity.GetHeartbeatDetails(ctx, &said) == nil {
		details = []any{said}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(gateBeat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				activity.RecordHeartbeat(ctx, details...)
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// kind is a failure's metric label.
func kind(err error) string {
	if k := runbook.KindOf(err); k != "" {
		return string(k)
	}
	if errors.Is(err, context.Canceled) || temporal.IsCanceledError(err) {
		return "canceled"
	}
	return "unclassified"
}
