package runbook

import (
	"context"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"
)

// Validator is an input that can refuse itself. The error names the field, what
// was expected and an example.
type Validator interface{ Validate() error }

// WorkflowRegistry is what procedures bind to.
type WorkflowRegistry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
}

// Procedure is a page of the runbook: a workflow type with one input object and
// one result. The empty input {} starts it safely.
type Procedure[In Validator, Out any] struct {
	// Name is the workflow type, the runbook's heading in PascalCase.
	Name string
	// ID makes the workflow ID, a sentence that is also the mutual exclusion.
	ID func(In) string
	// Summary is one markdown line shown beside the run in the Temporal UI.
	Summary string
	// Example is an input that acts, shown in refusals and help.
	Example string
}

// Bind registers the procedure's body. An input that does not validate fails the
// run as Refused before the body sees it.
func (p Procedure[In, Out]) Bind(r WorkflowRegistry, body func(workflow.Context, In) (Out, error)) {
	r.RegisterWorkflowWithOptions(func(ctx workflow.Context, in In) (Out, error) {
		if err := in.Validate(); err != nil {
			var none Out
			return none, Fail(Refused, "%s: %v; an input that acts: %s", p.Name, err, p.Example)
		}
		return body(ctx, in)
	}, workflow.RegisterOptions{Name: p.Name})
}

// Start starts the procedure from outside. An ID that runs already is an error,
// never a silent attach.
func (p Procedure[In, Out]) Start(ctx context.Context, c client.Client, in In) (client.WorkflowRun, error) {
	return c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                                       p.ID(in),
		TaskQueue:                                TaskQueue,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            p.Summary,
	}, p.Name, in)
}

// ChildID is the workflow ID of the procedure as a child of the given workflow.
func (p Procedure[In, Out]) ChildID(parent string, in In) string { return parent + "/" + p.ID(in) }

// Run runs the procedure as a child of the procedure that asks. The child is
// asked to cancel when its parent closes, so that its own undo runs.
func (p Procedure[In, Out]) Run(ctx workflow.Context, in In) (Out, error) {
	return p.StartChild(ctx, in).Get(ctx)
}

// StartChild starts the procedure as a child and returns at once.
func (p Procedure[In, Out]) StartChild(ctx workflow.Context, in In) Future[Out] {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            p.ChildID(workflow.GetInfo(ctx).WorkflowExecution.ID, in),
		TaskQueue:             TaskQueue,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
		WaitForCancellation:   true,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:         p.Summary,
	})
	return Future[Out]{workflow.ExecuteChildWorkflow(ctx, p.Name, in)}
}
