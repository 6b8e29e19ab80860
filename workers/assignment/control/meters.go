package control

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"

	"github.com/leanvibe/hive/workflows/runbook"
)

// meters count the steps that were answered here.
type meters struct {
	interceptor.WorkerInterceptorBase
	up    prometheus.Gauge
	steps *prometheus.CounterVec
}

func newMeters(reg prometheus.Registerer) *meters {
	m := &meters{
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leanvibe_control_connected", Help: "1 while Temporal answers this replica, which polls it for control steps.",
		}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leanvibe_control_steps_total", Help: "Control steps that this replica has answered, by outcome: done, a kind of failure, or canceled.",
		}, []string{"step", "outcome"}),
	}
	reg.MustRegister(m.up, m.steps)
	return m
}

func (m *meters) connected(yes bool) {
	m.up.Set(0)
	if yes {
		m.up.Set(1)
	}
}

// InterceptActivity serves interceptor.WorkerInterceptor.
func (m *meters) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	a := &measured{meters: m}
	a.Next = next
	return a
}

type measured struct {
	interceptor.ActivityInboundInterceptorBase
	meters *meters
}

// ExecuteActivity serves interceptor.ActivityInboundInterceptor.
func (a *measured) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	out, err := a.Next.ExecuteActivity(ctx, in)
	outcome := "done"
	switch {
	case err != nil && ctx.Err() != nil:
		outcome = "canceled"
	case err != nil:
		outcome = string(runbook.KindOf(err))
	}
	a.meters.steps.WithLabelValues(activity.GetInfo(ctx).ActivityType.Name, outcome).Inc()
	return out, err
}
