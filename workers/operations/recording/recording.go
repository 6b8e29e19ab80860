// Package recording stands around every act that changes something and has it put
// on the ledger: before the hand acts, and when it has. In workflows it notes for
// whom each act is done, and which time.
//
// Its place is inside of the gate: what the gate keeps out has not begun.
package recording

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/activities/ledger"
	"github.com/leanvibe/hive/workflows/runbook"
)

// Recorder is the ledger as acts need it.
type Recorder interface {
	// Begin returns when it is on record that the act begins; on an error the act
	// must not be done.
	Begin(ctx context.Context, a ledger.Act) error
	// End puts on record how the act ended.
	End(ctx context.Context, a ledger.Act, r ledger.Result) error
}

// Config is what the interceptor works with.
type Config struct {
	Recorder Recorder
	// Effect says what a step does to the world; reads leave no row.
	Effect func(step string) runbook.Effect
	// Worker is this worker's identity.
	Worker string
}

// New makes the interceptor of a worker.
func New(c Config) interceptor.WorkerInterceptor { return &recording{config: c} }

type recording struct {
	interceptor.WorkerInterceptorBase
	config Config
}

// InterceptActivity serves interceptor.WorkerInterceptor.
func (r *recording) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	a := &act{config: r.config}
	a.Next = next
	return a
}

// InterceptWorkflow serves interceptor.WorkerInterceptor.
func (r *recording) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	p := &procedure{config: r.config, times: map[string]int32{}}
	p.Next = next
	return p
}

// header is where an act is told what its own input does not say.
const header = "hive-act"

// order is what the workflow says of an act.
type order struct {
	// Run is the workflow's first run ID, the same after a reset.
	Run         string `json:"run"`
	Nth         int32  `json:"nth"`
	RequestedBy string `json:"requestedBy,omitempty"`
	Trigger     string `json:"trigger,omitempty"`
}

// procedure is one workflow at work; it counts what it orders.
type procedure struct {
	interceptor.WorkflowInboundInterceptorBase
	config Config
	times  map[string]int32
	by     string
	how    string
}

// Init serves interceptor.WorkflowInboundInterceptor.
func (p *procedure) Init(out interceptor.WorkflowOutboundInterceptor) error {
	o := &orders{procedure: p}
	o.Next = out
	return p.Next.Init(o)
}

// ExecuteWorkflow serves interceptor.WorkflowInboundInterceptor.
func (p *procedure) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	if len(in.Args) == 1 {
		if asked, ok := in.Args[0].(runbook.Asked); ok {
			p.by, p.how = asked.Asking()
		}
	}
	return p.Next.ExecuteWorkflow(ctx, in)
}

type orders struct {
	interceptor.WorkflowOutboundInterceptorBase
	procedure *procedure
}

// ExecuteActivity serves interceptor.WorkflowOutboundInterceptor.
func (o *orders) ExecuteActivity(ctx workflow.Context, step string, args ...any) workflow.Future {
	p := o.procedure
	if p.config.Effect(step) == runbook.Read {
		return o.Next.ExecuteActivity(ctx, step, args...)
	}
	this := step + "\x00" + target(args)
	p.times[this]++
	said := order{Run: workflow.GetInfo(ctx).FirstRunID, Nth: p.times[this], RequestedBy: p.by, Trigger: p.how}
	payload, err := converter.GetDefaultDataConverter().ToPayload(said)
	if err != nil {
		workflow.GetLogger(ctx).Error("an act does not know for whom it is done", "step", step, "error", err)
	} else if h := interceptor.WorkflowHeader(ctx); h != nil {
		h[header] = payload
	}
	return o.Next.ExecuteActivity(ctx, step, args...)
}

// target is what the act is done to, in the words of its input.
func target(args []any) string {
	if len(args) != 1 {
		return ""
	}
	switch in := args[0].(type) {
	case runbook.Targeted:
		return in.Target()
	case runbook.Fenced:
		return in.Fencing().Resource
	default:
		return ""
	}
}

type act struct {
	interceptor.ActivityInboundInterceptorBase
	config Config
}

var errPanicked = errors.New("the act panicked")

// ExecuteActivity serves interceptor.ActivityInboundInterceptor.
func (a *act) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (out any, err error) {
	info := activity.GetInfo(ctx)
	effect := a.config.Effect(info.ActivityType.Name)
	if effect == runbook.Read {
		return a.Next.ExecuteActivity(ctx, in)
	}
	this, err := a.describe(ctx, info, effect, in.Args)
	if err != nil {
		return nil, err
	}
	if err := a.config.Recorder.Begin(ctx, this); err != nil {
		return nil, err
	}
	start := time.Now()
	failure := errPanicked // until the act returns
	defer func() {
		recorded := a.config.Recorder.End(ctx, this, ledger.Result{Took: time.Since(start), Changed: changed(out), Err: failure})
		if err == nil && recorded != nil {
			// Done, but not on record: the retry finds it done, and records that.
			out, err = nil, recorded
		}
	}()
	out, err = a.Next.ExecuteActivity(ctx, in)
	failure = err
	return out, err
}

// describe is the act as the ledger keeps it.
func (a *act) describe(ctx context.Context, info activity.Info, effect runbook.Effect, args []any) (ledger.Act, error) {
	said := ordered(ctx)
	if said.Run == "" { // ordered by a worker that did not record
		said.Run = info.WorkflowExecution.RunID
	}
	out := ledger.Act{
		Workflow: info.WorkflowExecution.ID, Run: said.Run,
		Step: info.ActivityType.Name, Effect: effect.String(), Target: target(args),
		Nth: said.Nth, Attempt: info.Attempt, RequestedBy: said.RequestedBy, Trigger: said.Trigger, Worker: a.config.Worker,
	}
	if info.WorkflowType != nil {
		out.Procedure = info.WorkflowType.Name
	}
	var input any
	if len(args) == 1 {
		input = args[0]
	}
	var err error
	if out.Input, err = ledger.Digest(input); err != nil {
		return out, runbook.FailCause(runbook.Refused, err, "%s: its input makes no JSON, so it cannot be put on record", out.Step)
	}
	return out, nil
}

// ordered is what the workflow said of the act.
func ordered(ctx context.Context) (said order) {
	payload := interceptor.Header(ctx)[header]
	if payload != nil && converter.GetDefaultDataConverter().FromPayload(payload, &said) != nil {
		return order{}
	}
	return said
}

// changed is what the act's result says, where it says it.
func changed(out any) *bool {
	c, ok := out.(runbook.Changer)
	if !ok {
		return nil
	}
	did := c.DidChange()
	return &did
}
