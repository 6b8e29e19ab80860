package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/workers/operations/follow"
	"github.com/leanvibe/hive/workflows/runbook"
)

// runOptions are the flags that run and plan share.
type runOptions struct {
	input  string
	detach bool
	plan   bool
}

func newRun(env *environment) *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use: "run <Procedure>", Short: "Run a procedure and watch it",
		Long: "Starts a procedure, shows each step as it happens and the report at the end. Interrupting this command leaves the run going;\n" +
			"`hive abort` stops it. With --detach it returns as soon as the run has begun.\n\nProcedures:\n" + listing(),
		Example: "  hive run ReadinessCheck\n  hive run WeeklyMaintenance --detach\n" +
			"  hive run RollingRestart --input '{\"services\":[\"communication-hub\"],\"force\":true}'\n  hive run DatabaseMaintenance --input @window.json",
		Args: cobra.ExactArgs(1), ValidArgsFunction: completeProcedure,
		RunE: func(c *cobra.Command, args []string) error { return env.run(c, args[0], o) },
	}
	c.Flags().StringVarP(&o.input, "input", "i", "", "input as a JSON object, @file, or @- for standard input (default {})")
	c.Flags().BoolVar(&o.detach, "detach", false, "return once the run has begun")
	return c
}

func newPlan(env *environment) *cobra.Command {
	o := runOptions{plan: true}
	c := &cobra.Command{
		Use: "plan <Procedure>", Short: "Show what a procedure would change, without changing it",
		Long:    "Observes, decides, prints the plan with its hash, and stops there. Nothing is changed.\n\nProcedures:\n" + listing(),
		Example: "  hive plan WeeklyMaintenance\n  hive plan LogManagement --output json",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: completeProcedure,
		RunE: func(c *cobra.Command, args []string) error { return env.run(c, args[0], o) },
	}
	c.Flags().StringVarP(&o.input, "input", "i", "", "input as a JSON object, @file, or @- for standard input (default {})")
	return c
}

func (e *environment) run(c *cobra.Command, name string, o runOptions) error {
	p, err := find(procedures, name)
	if err != nil {
		return err
	}
	fields, err := readInput(o.input, c.InOrStdin())
	if err != nil {
		return err
	}
	ctx := c.Context()
	t, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer t.Close()
	run, err := begin(ctx, t, p, fields, o.plan)
	if err != nil {
		return err
	}
	if o.detach {
		return e.detached(run)
	}
	if !e.json() {
		fmt.Fprintf(e.out, "%s  %s\n", p.name, link(run.GetID()))
	}
	return e.follow(ctx, t, run)
}

func (e *environment) detached(run client.WorkflowRun) error {
	if e.json() {
		return printJSON(e.out, map[string]string{"workflow": run.GetID(), "run": run.GetRunID(), "link": link(run.GetID())})
	}
	_, err := fmt.Fprintf(e.out, "begun: %s\nwatch it: hive status %s, or %s\n", run.GetID(), run.GetID(), link(run.GetID()))
	return err
}

// follow shows a run until it ends, prints its report and ends as it ended.
func (e *environment) follow(ctx context.Context, t client.Client, run client.WorkflowRun) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	shown := make(chan runbook.Progress, 1)
	go func() { shown <- e.watch(watching, t, run) }()

	report, err := follow.Await(ctx, run)
	stop()
	progress := <-shown
	if ctx.Err() != nil {
		return &coded{code: exitInterrupted, err: fmt.Errorf("interrupted; the run goes on: watch it with `hive status %s`, stop it with `hive abort %s`",
			run.GetID(), run.GetID())}
	}
	if err != nil {
		return classify(err, run.GetID())
	}
	if len(report.Steps) == 0 { // a run that failed before it had a report
		report.Steps, report.Plan.Changes, report.Plan.Hash = progress.Steps, progress.Plan.Changes, progress.Plan.Hash
	}
	if e.json() {
		if err := printJSON(e.out, report); err != nil {
			return err
		}
		return ended(report.Outcome)
	}
	printReport(e.out, report)
	if report.Outcome != runbook.Succeeded && report.Outcome != runbook.Planned {
		fmt.Fprintf(e.out, "what happened, step by step: %s\n", link(run.GetID()))
	}
	return ended(report.Outcome)
}

func completeProcedure(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, p := range procedures {
		names = append(names, p.name+"\t"+p.summary)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
