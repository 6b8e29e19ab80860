package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	enums "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/tests/chaos/kill"
	"github.com/leanvibe/hive/workers/operations/follow"
	"github.com/leanvibe/hive/workflows/runbook"
)

// runMax bounds a run with all its kills. One that takes longer is stuck: it is terminated, and that is its outcome.
const runMax = 8 * time.Minute

// Stuck is the outcome of a run that did not end.
const Stuck = "stuck"

// Result is what became of one run.
type Result struct {
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
	// Census is what stood at the end, Effects what was done, Traffic what users saw.
	Census  []string `json:"census"`
	Effects Effects  `json:"effects"`
	Traffic Traffic  `json:"traffic"`
	// Met counts the acts by "procedure step".
	Met map[string]int `json:"met"`
	// Taken are the orders that were carried out.
	Taken []kill.Order `json:"taken,omitempty"`
	// Took is the run's time from its start to its end.
	Took     time.Duration `json:"took"`
	Workflow string        `json:"workflow"`
	// Trouble is what kept the kit from killing or from looking.
	Trouble string `json:"trouble,omitempty"`

	execution [2]string
}

// Run starts a procedure on the stack as Reset left it, carries out the orders, and looks at what became of it. What
// disturbs it besides, if anything does, is called when it has begun, and its context ends with the run.
func (b *Bench) Run(ctx context.Context, start func(context.Context, client.Client) (client.WorkflowRun, error), orders []kill.Order, disturb func(context.Context)) (Result, error) {
	var r Result
	b.Referee.Arm(orders)
	b.prober.start(ctx)
	began := time.Now()
	run, err := start(ctx, b.Client)
	if err != nil {
		b.prober.stop()
		return r, err
	}
	r.Workflow, r.execution = run.GetID(), [2]string{run.GetID(), run.GetRunID()}
	disturbed, calm := context.WithCancel(ctx)
	var disturbing sync.WaitGroup
	if disturb != nil {
		disturbing.Go(func() { disturb(disturbed) })
	}
	r.Outcome, r.Reason = b.await(ctx, run)
	calm()
	disturbing.Wait()
	r.Took = time.Since(began).Round(100 * time.Millisecond)
	taken, trouble := b.Referee.Taken()
	b.Referee.Arm(nil)
	r.Taken = taken
	if r.Census, err = b.Census(ctx); err != nil {
		b.prober.stop()
		return r, err
	}
	r.Traffic = b.prober.stop()
	if r.Effects, err = b.Effects(ctx); err != nil {
		return r, err
	}
	if r.Met, err = b.met(ctx, run.GetID(), run.GetRunID()); err != nil {
		return r, err
	}
	if trouble != nil {
		r.Trouble = trouble.Error()
	}
	return r, nil
}

// Kill ends a victim now; it is started again at once.
func (b *Bench) Kill(ctx context.Context, v kill.Victim) error { return b.kill(ctx, v) }

// Ready waits until the platform works.
func (b *Bench) Ready(ctx context.Context) error { return b.ready(ctx) }

// await waits for the run's end, also while the server dies.
func (b *Bench) await(ctx context.Context, run client.WorkflowRun) (outcome, reason string) {
	bounded, cancel := context.WithTimeout(ctx, runMax)
	defer cancel()
	var status enums.WorkflowExecutionStatus
	err := until(bounded, runMax, "the run's end", func(ctx context.Context) error {
		d, err := b.Client.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
		if err != nil {
			return err
		}
		if status = d.GetWorkflowExecutionInfo().GetStatus(); status == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
			return errors.New("it still runs")
		}
		return nil
	})
	if err != nil {
		_ = b.Client.TerminateWorkflow(ctx, run.GetID(), run.GetRunID(), "the chaos kit waited "+runMax.String())
		return Stuck, err.Error()
	}
	report, err := follow.Await(bounded, run)
	switch {
	case err != nil:
		return Stuck, err.Error()
	case report.Procedure == "" && status == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED: // a procedure that makes no report
		return string(runbook.Succeeded), ""
	default:
		return string(report.Outcome), report.Reason
	}
}

// met counts the steps that the run and its child procedures asked for.
func (b *Bench) met(ctx context.Context, workflow, run string) (map[string]int, error) {
	out := map[string]int{}
	return out, b.walk(ctx, workflow, run, func(kind string, e *historypb.HistoryEvent) {
		if a := e.GetActivityTaskScheduledEventAttributes(); a != nil {
			out[kind+" "+a.GetActivityType().GetName()]++
		}
	})
}

// walk goes through the events of a run and of its child procedures.
func (b *Bench) walk(ctx context.Context, workflow, run string, visit func(kind string, e *historypb.HistoryEvent)) error {
	events := b.Client.GetWorkflowHistory(ctx, workflow, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	kind := ""
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return err
		}
		if s := e.GetWorkflowExecutionStartedEventAttributes(); s != nil {
			kind = s.GetWorkflowType().GetName()
		}
		visit(kind, e)
		if child := e.GetChildWorkflowExecutionStartedEventAttributes(); child != nil {
			if err := b.walk(ctx, child.GetWorkflowExecution().GetWorkflowId(), child.GetWorkflowExecution().GetRunId(), visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// Keep writes the run's history to a file, children's behind it.
func (b *Bench) Keep(ctx context.Context, r Result, path string) error {
	var h historypb.History
	if err := b.walk(ctx, r.execution[0], r.execution[1], func(_ string, e *historypb.HistoryEvent) { h.Events = append(h.Events, e) }); err != nil {
		return err
	}
	raw, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(&h)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return put(filepath.Clean(path), raw, os.FileMode(0o644))
}
