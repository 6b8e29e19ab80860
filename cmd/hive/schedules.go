package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leanvibe/hive/workers/operations/schedules"
	"github.com/leanvibe/hive/workers/operations/view"
	"github.com/leanvibe/hive/workflows/runbook"
)

func newSchedules(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "schedules", Short: "What runs by itself: when next, how the last dates went; pause, resume, run now",
		Long: "Schedules are written in the project's runbook.yaml, under schedules; opsworker carries a change into Temporal within a minute.\n" +
			"Their hours are those of their zone: clocks that are put forward or back neither skip a date nor run it twice.\n" +
			"A date that could not begin within its catch_up is missed: somebody is told once, and it is not made up for.",
		Example: "  hive schedules list\n  hive schedules pause weekly-maintenance --note 'freeze until Monday'\n" +
			"  hive schedules resume weekly-maintenance\n  hive schedules run weekly-maintenance",
	}
	c.AddCommand(newSchedulesList(env), newSchedulesPause(env), newSchedulesResume(env), newSchedulesRun(env))
	return c
}

func newSchedulesList(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Each schedule: when next, on its zone's clocks, and how the last dates went",
		Example: "  hive schedules list\n  hive schedules list --output json | jq '.[] | {id, next: .next[0].at, last: .last[0].outcome}'",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := env.dial(c.Context())
			if err != nil {
				return err
			}
			defer t.Close()
			all, err := schedules.Read(c.Context(), t)
			if err != nil {
				return scheduleError(err)
			}
			if env.json() {
				return printJSON(env.out, all)
			}
			printSchedules(env.out, all, time.Now())
			return nil
		},
	}
}

func printSchedules(out io.Writer, all []schedules.Schedule, now time.Time) {
	if len(all) == 0 {
		fmt.Fprintln(out, "no schedule is in Temporal; opsworker writes those of "+strings.Join(view.Marks, " or ")+" there when it runs")
		return
	}
	var rows [][]string
	for _, s := range all {
		next, state := "none", "active"
		if len(s.Next) > 0 {
			next = s.Next[0].At.Format("Mon 2006-01-02 15:04 MST") + ", in " + until(s.Next[0].At.Sub(now))
		}
		if s.Paused {
			next, state = "when resumed", "paused: "+or(s.Note, "no note")
		}
		var last []string
		for _, p := range s.Last {
			last = append(last, p.Date+" "+p.Outcome)
		}
		rows = append(rows, []string{s.ID, s.Procedure, s.When(), next, or(strings.Join(last, ", "), "none yet"), state})
	}
	grid(out, []string{"SCHEDULE", "PROCEDURE", "WHEN", "NEXT", "LAST", ""}, rows)
}

// until is a time to wait in the two units that matter.
func until(d time.Duration) string {
	days, hours, minutes := int(d.Hours())/24, int(d.Hours())%24, int(d.Minutes())%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd %dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh %dm", hours, minutes)
	default:
		return fmt.Sprintf("%dm", minutes)
	}
}

func newSchedulesPause(env *environment) *cobra.Command {
	var note string
	c := &cobra.Command{
		Use: "pause <schedule>", Short: "Start nothing of this schedule until it is resumed",
		Long: "A run that is at work goes on. Dates that pass meanwhile are not missed: nobody is told, and nothing is made up for.\n" +
			"It survives restarts and edits of the policy; ReadinessCheck warns of it. Pausing what is paused changes nothing, the note included.",
		Example: "  hive schedules pause weekly-maintenance --note 'freeze until Monday'",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: env.completeSchedule,
		RunE: func(c *cobra.Command, args []string) error {
			t, err := env.dial(c.Context())
			if err != nil {
				return err
			}
			defer t.Close()
			changed, err := schedules.Pause(c.Context(), t, args[0], or(note, "paused by "+requestedBy()))
			if err != nil {
				return scheduleError(err)
			}
			return env.toggled(args[0], "paused", changed)
		},
	}
	c.Flags().StringVar(&note, "note", "", "why, for whoever looks at it (default: who paused it)")
	return c
}

func newSchedulesResume(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "resume <schedule>", Short: "Let a paused schedule run again, from its next date on",
		Example: "  hive schedules resume weekly-maintenance",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: env.completeSchedule,
		RunE: func(c *cobra.Command, args []string) error {
			t, err := env.dial(c.Context())
			if err != nil {
				return err
			}
			defer t.Close()
			changed, err := schedules.Resume(c.Context(), t, args[0], "resumed by "+requestedBy())
			if err != nil {
				return scheduleError(err)
			}
			return env.toggled(args[0], "active", changed)
		},
	}
}

func (e *environment) toggled(id, state string, changed bool) error {
	if e.json() {
		return printJSON(e.out, map[string]any{"schedule": id, "state": state, "changed": changed})
	}
	already := ""
	if !changed {
		already = " already"
	}
	_, err := fmt.Fprintf(e.out, "%s is %s%s\n", id, state, already)
	return err
}

func newSchedulesRun(env *environment) *cobra.Command {
	var detach bool
	c := &cobra.Command{
		Use: "run <schedule>", Short: "Run what the schedule runs, now, and watch it",
		Long: "The same as `hive run` of its procedure with the schedule's input. It is a run of its own and belongs to no date: the\n" +
			"schedule's next date runs as if nothing had been. It works for a paused schedule too.",
		Example: "  hive schedules run weekly-maintenance\n  hive schedules run morning-health-check --output json",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: env.completeSchedule,
		RunE: func(c *cobra.Command, args []string) error {
			return env.runSchedule(c.Context(), args[0], detach)
		},
	}
	c.Flags().BoolVar(&detach, "detach", false, "return once the run has begun")
	return c
}

func (e *environment) runSchedule(ctx context.Context, id string, detach bool) error {
	t, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer t.Close()
	s, err := schedules.Find(ctx, t, id)
	if err != nil {
		return scheduleError(err)
	}
	p, err := find(procedures, s.Procedure)
	if err != nil {
		return err
	}
	fields, err := readInput(s.Input, strings.NewReader(""))
	if err != nil {
		return err
	}
	run, err := begin(ctx, t, p, fields, false)
	if err != nil {
		return err
	}
	if detach {
		return e.detached(run)
	}
	if !e.json() {
		fmt.Fprintf(e.out, "%s  %s\n", p.name, link(run.GetID()))
	}
	return e.follow(ctx, t, run)
}

// scheduleError gives errors of schedules their exit code.
func scheduleError(err error) error {
	said := fmt.Errorf("%s", runbook.Reason(err))
	switch runbook.KindOf(err) {
	case runbook.Missing:
		return usage(said)
	case runbook.Refused:
		return &coded{code: exitRefused, err: said}
	case runbook.Unreachable:
		return unreachable(said)
	case runbook.Unsafe, runbook.Corrupt, runbook.Busy, runbook.NotYet:
		return said
	default:
		return err
	}
}

func (e *environment) completeSchedule(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	t, err := e.dial(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer t.Close()
	all, err := schedules.Read(c.Context(), t)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []string
	for _, s := range all {
		ids = append(ids, s.ID+"\t"+s.Procedure+" "+s.When())
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
