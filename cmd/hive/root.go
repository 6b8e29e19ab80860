package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leanvibe/hive/workers/operations/view"
)

const teach = `hive runs the procedures of the operational runbook on a Compose stack, and shows what they do.

  hive up                                   bring up stack and platform; safe to repeat
  hive status                               what should run, what runs, which procedures are at work
  hive plan WeeklyMaintenance               what it would change, without changing it
  hive run WeeklyMaintenance                do it, and watch
  hive run RollingRestart --input '{"services":["communication-hub"],"force":true}'
  hive run ReadinessCheck --output json     the report for a program
  hive abort weekly-maintenance             stop at the next safe point and undo
  hive schedules list                       what runs by itself: when next, how the last dates went
  hive logs nginx --follow                  a service's output
  hive down                                 stop the stack; volumes, images, backups/ and secrets/ stay
  hive init compose.yaml                    what hive must know of a stack of yours; then hive up beside it

Every run can also be started, watched and cancelled in the Temporal UI: ` + uiBase + `

Exit codes: 0 succeeded or planned · 1 failed · 2 wrong argument, input or file (nothing begun) · 3 reverted ·
4 refused (nothing begun) · 5 aborted · 6 Temporal or the container engine away · 130 interrupted (a run goes on)`

// environment is what every verb is given: where the project is, where Temporal is, how to print.
type environment struct {
	project  string
	sources  string
	temporal string
	output   string
	out, err io.Writer
}

const (
	outputTable = "table"
	outputJSON  = "json"
)

func (e *environment) json() bool { return e.output == outputJSON }

func newRoot(out, err io.Writer) *cobra.Command {
	env := &environment{out: out, err: err}
	root := &cobra.Command{
		Use: "hive", Short: "Operate a Compose stack by procedures, not by hand", Long: teach,
		Version: version, SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return env.check() },
	}
	root.SetOut(out)
	root.SetErr(err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w; see: %s --help", err, c.CommandPath()))
	})
	flags := root.PersistentFlags()
	flags.StringVar(&env.project, "project", os.Getenv("HIVE_PROJECT_DIR"),
		"project directory (default $HIVE_PROJECT_DIR, else the nearest parent that holds "+strings.Join(view.Marks, " or ")+")")
	flags.StringVar(&env.sources, "hive", os.Getenv("HIVE_SOURCES"),
		"hive's own sources, which the platform is built from (default $HIVE_SOURCES, else the project itself, else around this program)")
	flags.StringVar(&env.temporal, "temporal", or(os.Getenv("TEMPORAL_ADDRESS"), "127.0.0.1:7233"), "Temporal server (default $TEMPORAL_ADDRESS)")
	flags.StringVarP(&env.output, "output", "o", outputTable, "table for people, json for programs")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{outputTable, outputJSON}, cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(
		newUp(env), newDown(env), newStatus(env), newRun(env), newPlan(env), newAbort(env), newLogs(env), newStats(env), newExplain(env), newInit(env), newVersion(env),
		newSchedules(env), newLedger(env),
	)
	asUsage(root)
	return root
}

// asUsage has each verb's argument errors end with the code for wrong usage.
func asUsage(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usage(fmt.Errorf("%w; see: %s --help", err, c.CommandPath()))
			}
			return nil
		}
	} else if c.HasSubCommands() {
		c.Args = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage(fmt.Errorf("unknown verb %q%s; see: %s --help", args[0], suggest(c, args[0]), c.CommandPath()))
		}
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	for _, sub := range c.Commands() {
		asUsage(sub)
	}
}

func suggest(c *cobra.Command, typed string) string {
	c.SuggestionsMinimumDistance = 2
	for _, s := range c.SuggestionsFor(typed) {
		return fmt.Sprintf(", did you mean %q?", s)
	}
	return ""
}

func (e *environment) check() error {
	if e.output != outputTable && e.output != outputJSON {
		return usage(fmt.Errorf("--output %q: want table or json", e.output))
	}
	return nil
}

// projectDir is the absolute project root. The verbs that touch files or containers need one, the others do not.
func (e *environment) projectDir() (string, error) {
	if e.project != "" {
		dir, err := filepath.Abs(e.project)
		if err != nil {
			return "", usage(fmt.Errorf("project %s: %w", e.project, err))
		}
		switch found, err := view.IsProject(dir); {
		case err != nil:
			return "", usage(err)
		case !found:
			return "", usage(fmt.Errorf("project %s holds neither %s: name the project's root with --project, or write a policy for a stack of yours with `hive init`",
				dir, strings.Join(view.Marks, " nor ")))
		}
		return dir, nil
	}
	start, err := os.Getwd()
	if err != nil {
		return "", usage(fmt.Errorf("working directory: %w", err))
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		found, err := view.IsProject(dir)
		if err != nil {
			return "", usage(err)
		}
		if found {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", usage(fmt.Errorf("neither %s nor a parent holds %s: change into the project, or name it with --project; for a stack of yours write one with `hive init`",
				start, strings.Join(view.Marks, " or ")))
		}
	}
}

func or(value, fallback string) string {
	if value != "" {
		return value
	}
	return fallback
}
