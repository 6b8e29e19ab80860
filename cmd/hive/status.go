package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/workers/operations/bootstrap"
	"github.com/leanvibe/hive/workers/operations/follow"
	"github.com/leanvibe/hive/workers/operations/view"
	"github.com/leanvibe/hive/workflows/schedule"
)

// work is a procedure at work, as `hive status` lists it.
type work struct {
	Workflow  string    `json:"workflow"`
	Procedure string    `json:"procedure"`
	Phase     string    `json:"phase,omitempty"`
	Started   time.Time `json:"started"`
	Link      string    `json:"link"`
}

// standing is the whole of `hive status`. A part that could not be looked at is null, and Problems says why: absent is
// not the same as empty.
type standing struct {
	Services []view.Service `json:"services"`
	Runs     []work         `json:"runs"`
	Problems []string       `json:"problems"`
}

func newStatus(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "status [workflow-id]", Short: "What should run, what runs, and which procedures are at work",
		Long: "Without an argument: each service of stack and platform, desired, running and healthy, and the procedures at work.\n" +
			"With a workflow id: that run, live until it ends (or its report, if it has ended).\n" +
			"Ends with 1 when a service is not as desired, with 6 when the engine or Temporal could not be asked.",
		Example: "  hive status\n  hive status weekly-maintenance\n  hive status --output json | jq '.services[] | select(.running < .desired)'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				return env.statusOf(c.Context(), args[0])
			}
			return env.status(c.Context())
		},
	}
}

func (e *environment) status(ctx context.Context) error {
	dir, err := e.projectDir()
	if err != nil {
		return err
	}
	var s standing
	s.Services, err = e.services(ctx, dir)
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	s.Runs, err = e.atWork(ctx)
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	if e.json() {
		if err := printJSON(e.out, s); err != nil {
			return err
		}
	} else {
		e.printStanding(s)
	}
	if len(s.Problems) > 0 {
		return &coded{code: exitUnreachable, err: fmt.Errorf("%s", strings.Join(s.Problems, "; ")), silent: true}
	}
	for _, service := range s.Services {
		if !service.Good() {
			return &coded{code: exitFailed, err: fmt.Errorf("%s is not as desired", service.Name), silent: true}
		}
	}
	return nil
}

// services are those of the stack and of the platform; the stack's alone beside an error where the platform's file is
// not known.
func (e *environment) services(ctx context.Context, dir string) ([]view.Service, error) {
	engine, err := view.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	stack, err := engine.Stack(ctx, dir)
	if err != nil {
		return nil, err
	}
	sources, err := bootstrap.Sources(e.sources, dir)
	if err != nil {
		return stack, err
	}
	platform, err := engine.Platform(ctx, sources, dir)
	return append(stack, platform...), err
}

// atWork lists the procedures that run, those of a parent left out: their parent shows them.
func (e *environment) atWork(ctx context.Context) ([]work, error) {
	t, err := e.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	runs := []work{}
	var token []byte
	for {
		page, err := t.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: namespace, Query: "ExecutionStatus = 'Running'", NextPageToken: token,
		})
		if err != nil {
			return nil, classify(err, "")
		}
		for _, info := range page.GetExecutions() {
			if parent := info.GetParentExecution(); parent == nil || strings.HasPrefix(parent.GetWorkflowId(), schedule.IDPrefix) {
				runs = append(runs, asWork(ctx, t, info))
			}
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			return runs, nil
		}
	}
}

func asWork(ctx context.Context, t client.Client, info *workflowpb.WorkflowExecutionInfo) work {
	id := info.GetExecution().GetWorkflowId()
	w := work{Workflow: id, Procedure: info.GetType().GetName(), Started: info.GetStartTime().AsTime(), Link: link(id)}
	if p, err := follow.Ask(ctx, t, id, info.GetExecution().GetRunId()); err == nil {
		w.Phase = p.Phase
	}
	return w
}

func (e *environment) printStanding(s standing) {
	var rows [][]string
	for _, service := range s.Services {
		healthy, note := "no check", ""
		if service.Healthy != nil {
			healthy = fmt.Sprint(*service.Healthy)
		}
		if !service.Good() {
			note = "✗"
		}
		if service.Once {
			note = "runs once"
		}
		if len(service.Images) > 0 {
			note = strings.TrimSpace(note + " runs " + strings.Join(service.Images, ", "))
		}
		rows = append(rows, []string{service.Project, service.Name, fmt.Sprint(service.Desired), fmt.Sprint(service.Running), healthy, service.Image, note})
	}
	if len(rows) > 0 {
		grid(e.out, []string{"PROJECT", "SERVICE", "DESIRED", "RUNNING", "HEALTHY", "IMAGE", ""}, rows)
	}
	switch {
	case s.Runs == nil:
	case len(s.Runs) == 0:
		fmt.Fprintln(e.out, "no procedure is at work")
	default:
		var runs [][]string
		for _, w := range s.Runs {
			runs = append(runs, []string{w.Workflow, w.Procedure, w.Phase, took(time.Since(w.Started)), w.Link})
		}
		grid(e.out, []string{"RUN", "PROCEDURE", "PHASE", "FOR", "SEE"}, runs)
	}
	for _, problem := range s.Problems {
		fmt.Fprintln(e.err, "hive: "+problem)
	}
}

// statusOf shows one run, live while it lasts.
func (e *environment) statusOf(ctx context.Context, id string) error {
	t, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer t.Close()
	described, err := t.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return classify(err, id)
	}
	if !e.json() {
		fmt.Fprintf(e.out, "%s  %s\n", described.GetWorkflowExecutionInfo().GetType().GetName(), link(id))
	}
	return e.follow(ctx, t, t.GetWorkflow(ctx, id, described.GetWorkflowExecutionInfo().GetExecution().GetRunId()))
}
