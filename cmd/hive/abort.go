package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/leanvibe/hive/workers/operations/follow"
	"github.com/leanvibe/hive/workflows/runbook"
)

func newAbort(env *environment) *cobra.Command {
	var wait bool
	c := &cobra.Command{
		Use: "abort <workflow-id>", Short: "Stop a run at its next safe point and undo what it did",
		Long: "Asks a run to stop: it finishes the act it is in, undoes what it did and ends aborted. Same as Cancel in the Temporal UI.\n" +
			"(Terminate there stops at once and undoes nothing.) The ids of what runs: hive status.",
		Example: "  hive abort weekly-maintenance\n  hive abort rolling-restart --wait",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, id := c.Context(), args[0]
			t, err := env.dial(ctx)
			if err != nil {
				return err
			}
			defer t.Close()
			asked := time.Now()
			if err := t.CancelWorkflow(ctx, id, ""); err != nil {
				return classify(err, id)
			}
			if !wait {
				_, err := fmt.Fprintf(env.out, "asked to stop: %s\nwatch it undo: hive status %s, or %s\n", id, id, link(id))
				return err
			}
			report, err := follow.Await(ctx, t.GetWorkflow(ctx, id, ""))
			if err != nil {
				return classify(err, id)
			}
			fmt.Fprintf(env.out, "%s: %s after %s\n", id, report.Outcome, took(time.Since(asked)))
			if report.Outcome == runbook.Aborted {
				return nil // what was asked for
			}
			return ended(report.Outcome)
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "return when the run has undone its work and ended")
	return c
}
