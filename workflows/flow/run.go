package flow

import (
	"net/url"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Run is one procedure at work.
type Run struct {
	// Policy and Stack are what the run stands on, read once at its start.
	Policy runbook.Policy
	Stack  runbook.Stack
	// Undo is what puts back what the run does.
	Undo Undo

	frame    Frame
	report   runbook.Report
	plan     runbook.Plan
	now      string
	page     string
	children []string
	held     []held
	lost     string
	begun    bool
	silences []*silence
	probe    *probe
	stop     workflow.CancelFunc
}

// Search attributes that every run sets, so that runs can be found (reference: the
// platform's namespace declares them).
var (
	opsRunbook     = temporal.NewSearchAttributeKeyKeyword("OpsRunbook")
	opsTrigger     = temporal.NewSearchAttributeKeyKeyword("OpsTrigger")
	opsRequestedBy = temporal.NewSearchAttributeKeyKeyword("OpsRequestedBy")
	opsDryRun      = temporal.NewSearchAttributeKeyBool("OpsDryRun")
	opsOutcome     = temporal.NewSearchAttributeKeyKeyword("OpsOutcome")
	opsPhase       = temporal.NewSearchAttributeKeyKeyword("OpsPhase")
	opsEnvironment = temporal.NewSearchAttributeKeyKeyword("OpsEnvironment")
)

func begin(ctx workflow.Context, f Frame) *Run {
	info := workflow.GetInfo(ctx)
	r := &Run{frame: f}
	r.report = runbook.Report{
		Procedure: f.Name, Run: info.WorkflowExecution.ID + "/" + info.FirstRunID, Started: workflow.Now(ctx),
		Steps: []runbook.StepReport{}, Traffic: []runbook.Traffic{}, Plan: runbook.PlanSummary{Differences: []runbook.Difference{}},
	}
	attributes := []temporal.SearchAttributeUpdate{
		opsRunbook.ValueSet(f.Name), opsTrigger.ValueSet(trigger(f.Options)), opsDryRun.ValueSet(f.Options.Plan),
	}
	if f.Options.RequestedBy != "" {
		attributes = append(attributes, opsRequestedBy.ValueSet(f.Options.RequestedBy))
	}
	r.mark(ctx, attributes...)
	if err := workflow.SetQueryHandlerWithOptions(ctx, runbook.ProgressQuery, r.progress,
		workflow.QueryHandlerOptions{Description: "What the run has done, does and will do"}); err != nil {
		workflow.GetLogger(ctx).Error("no progress query", "error", err)
	}
	return r
}

func trigger(o runbook.Options) string {
	if o.Trigger == "" {
		return "ui"
	}
	return o.Trigger
}

// load reads the policy and the compose file, unless a parent has.
func (r *Run) load(ctx workflow.Context) error {
	r.phase(ctx, "reading the policy")
	loaded := r.frame.Options.Given
	if loaded == nil {
		read, err := Do(ctx, r, runbook.LoadPolicy, "", runbook.LoadPolicyInput{Run: r.report.Run})
		if err != nil {
			return err
		}
		loaded = &read
	}
	r.Policy, r.Stack = loaded.Policy, loaded.Stack
	r.mark(ctx, opsEnvironment.ValueSet(r.Policy.Environment))
	return nil
}

// Loaded is what a child procedure is given of the policy.
func (r *Run) Loaded() runbook.LoadPolicyOutput {
	return runbook.LoadPolicyOutput{Policy: r.Policy, Stack: r.Stack}
}

// ID names the run in labels, states and sessions: workflow ID and first run ID.
func (r *Run) ID() string { return r.report.Run }

// Begun is when the run began.
func (r *Run) Begun() time.Time { return r.report.Started }

// child says whether another procedure started this one.
func (r *Run) child() bool { return r.frame.Options.Trigger == runbook.TriggerParent }

// Find adds a fact that an operator should know.
func (r *Run) Find(severity runbook.Severity, target, what string) {
	r.report.Findings = append(r.report.Findings, runbook.Finding{Severity: severity, Target: target, What: what})
}

// FindAll adds findings that a decision made.
func (r *Run) FindAll(findings []runbook.Finding) {
	r.report.Findings = append(r.report.Findings, findings...)
}

// Measured adds a source's measurement of user traffic. One over the whole run takes
// the place of what a child procedure measured of its part by the same source.
func (r *Run) Measured(t runbook.Traffic) {
	for i := range r.report.Traffic {
		if r.report.Traffic[i].Source == t.Source {
			r.report.Traffic[i] = t
			return
		}
	}
	r.report.Traffic = append(r.report.Traffic, t)
}

// Decided takes the plan: it is shown, and it is what the run may do. ErrPlanned
// comes back where the run was asked for its plan alone.
func (r *Run) Decided(ctx workflow.Context, changes []runbook.Change) error {
	r.plan = runbook.NewPlan(r.Policy.Hash, changes)
	r.report.Plan.Hash, r.report.Plan.Changes = r.plan.Hash, r.plan.Changes
	r.show(ctx)
	if r.frame.Options.Plan {
		return ErrPlanned
	}
	return nil
}

// Differ records where the world, seen again before an act, was not as planned.
func (r *Run) Differ(step, target, what string) {
	r.report.Plan.Differences = append(r.report.Plan.Differences, runbook.Difference{Step: step, Target: target, What: what})
}

// Page adds markdown to the run's page in the Temporal UI: what the procedure
// alone has to show.
func (r *Run) Page(ctx workflow.Context, markdown string) {
	r.page = markdown
	r.show(ctx)
}

// Absorb takes a child procedure's report into this one: its steps, its plan, what
// it measured and found.
func (r *Run) Absorb(child runbook.Report) {
	kept := child.Outcome == runbook.Succeeded || child.Outcome == runbook.Failed
	for _, s := range child.Steps {
		r.begun = r.begun || kept && s.Changed
	}
	r.report.Steps = append(r.report.Steps, child.Steps...)
	r.report.Traffic = append(r.report.Traffic, child.Traffic...)
	r.report.Findings = append(r.report.Findings, child.Findings...)
	r.plan = runbook.NewPlan(r.Policy.Hash, append(r.plan.Changes, child.Plan.Changes...))
	r.report.Plan.Hash, r.report.Plan.Changes = r.plan.Hash, r.plan.Changes
	r.report.Plan.Differences = append(r.report.Plan.Differences, child.Plan.Differences...)
}

// link is where the run is seen, relative to wherever the Temporal UI is served.
func (r *Run) link(ctx workflow.Context) string {
	info := workflow.GetInfo(ctx)
	return "/namespaces/" + info.Namespace + "/workflows/" + url.PathEscape(info.WorkflowExecution.ID) + "/" + info.WorkflowExecution.RunID
}
