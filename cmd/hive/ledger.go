package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leanvibe/hive/workers/operations/audit"
)

func newLedger(env *environment) *cobra.Command {
	where := or(os.Getenv("LEDGER_ADDRESS"), audit.Address)
	c := &cobra.Command{
		Use: "ledger", Short: "What was done to the stack, by whom, and whether that record is whole",
		Long: "Every act that changes something leaves a row before it begins and one when it has ended, chained by a keyed hash. The rows hold\n" +
			"who, what, on what, for which run, with what end; of inputs only a digest.",
		Example: "  hive ledger show --run weekly-maintenance\n  hive ledger verify",
	}
	c.PersistentFlags().StringVar(&where, "ledger", where, "the ledger's database (default $LEDGER_ADDRESS)")
	c.AddCommand(newLedgerShow(env, &where), newLedgerVerify(env, &where))
	return c
}

func (e *environment) ledger(where string) (audit.Config, error) {
	dir, err := e.projectDir()
	return audit.Config{ProjectDir: dir, Address: where}, err
}

func newLedgerShow(env *environment, where *string) *cobra.Command {
	var q audit.Query
	var outcome, since, until string
	c := &cobra.Command{
		Use: "show", Short: "Rows of the ledger, the newest last",
		Example: "  hive ledger show --since 24h\n  hive ledger show --run weekly-maintenance --outcome failed\n" +
			"  hive ledger show --target '*communication-hub*' --step containers --limit 0 --output json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			q.Outcome = audit.Outcome(outcome)
			var err error
			if q.Since, err = moment("since", since); err != nil {
				return err
			}
			if q.Until, err = moment("until", until); err != nil {
				return err
			}
			if q.Limit < 0 {
				return usage(fmt.Errorf("--limit %d: want a number of rows, or 0 for all", q.Limit))
			}
			return env.ledgerShow(c.Context(), *where, q)
		},
	}
	flags := c.Flags()
	flags.StringVar(&q.Run, "run", "", "workflow ID, run ID, or workflow/run; the runs that it started belong to it")
	flags.StringVar(&q.Procedure, "procedure", "", "procedure, such as WeeklyMaintenance")
	flags.StringVar(&q.Target, "target", "", "what was acted on; * stands for anything")
	flags.StringVar(&q.Step, "step", "", "step, such as proxy.SetUpstream, or its system, such as proxy")
	flags.StringVar(&outcome, "outcome", "", "one of "+strings.Join(audit.Outcomes(), ", "))
	flags.StringVar(&since, "since", "", "not before: a time (2026-11-29, 2026-11-29T02:00:00Z) or how long ago (90m, 24h)")
	flags.StringVar(&until, "until", "", "before: as --since")
	flags.IntVar(&q.Limit, "limit", 50, "how many rows at most, the newest; 0 for all")
	_ = c.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions(audit.Outcomes(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

// moment reads a time, or how long ago it was. A bare date is midnight here.
func moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		return time.Now().Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage(fmt.Errorf("--%s %q: want a time such as 2026-11-29T02:00:00Z or 2026-11-29, or how long ago, such as 24h", flag, text))
}

func (e *environment) ledgerShow(ctx context.Context, where string, q audit.Query) error {
	config, err := e.ledger(where)
	if err != nil {
		return err
	}
	rows, err := audit.Show(ctx, config, q)
	if err != nil {
		return ofLedger(err)
	}
	if e.json() {
		return printJSON(e.out, append([]audit.Row{}, rows...))
	}
	if len(rows) == 0 {
		if q.Procedure != "" { // asked only now: the ledger remembers also what this hive does not know
			if _, err := find(procedures, q.Procedure); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintln(e.out, "no row of the ledger is like that")
		return err
	}
	var cells [][]string
	for _, r := range rows {
		cells = append(cells, ledgerCells(r))
	}
	grid(e.out, []string{"ROW", "AT", "RUN", "STEP", "TARGET", "TRY", "OUTCOME", "TOOK", "BY"}, cells)
	if len(rows) == q.Limit {
		fmt.Fprintf(e.out, "the newest %d; see more with --limit\n", q.Limit)
	}
	return nil
}

func ledgerCells(r audit.Row) []string {
	outcome, lasted := string(r.Outcome), ""
	switch {
	case r.Kind != "":
		outcome += " (" + r.Kind + ")"
	case r.Changed != nil && !*r.Changed:
		outcome += ", nothing to change"
	}
	if r.Outcome != "started" {
		lasted = took(time.Duration(r.DurationMS) * time.Millisecond)
	}
	step := r.Step
	if r.Nth > 1 {
		step += fmt.Sprintf(" #%d", r.Nth)
	}
	by := r.Trigger
	if r.RequestedBy != "" {
		by = r.RequestedBy + ", " + by
	}
	return []string{
		fmt.Sprint(r.Seq), r.At.Local().Format("2006-01-02 15:04:05"), r.Workflow, step, r.Target, fmt.Sprint(r.Attempt), outcome, lasted, by,
	}
}

func newLedgerVerify(env *environment, where *string) *cobra.Command {
	var given []string
	c := &cobra.Command{
		Use: "verify", Short: "Whether any row was edited, moved, deleted or slipped in, or the newest cut off",
		Long: "Reads every row and works out its hash again. Holds the end against the database's head row, against out/state/ledger/head, and\n" +
			"against each --head, as an earlier verification printed it. Names each row that is not as it was written.\n" +
			"Ends with 1 when something is wrong, with 6 when the ledger's database is away.",
		Example: "  hive ledger verify\n  hive ledger verify --output json | jq '.findings[]'\n" +
			"  hive ledger verify --head 1234:5f0c…   a head that was kept elsewhere",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var heads []audit.Head
			for _, text := range given {
				h, err := audit.ParseHead(text)
				if err != nil {
					return usage(fmt.Errorf("--head %w", err))
				}
				heads = append(heads, h)
			}
			return env.ledgerVerify(c.Context(), *where, heads)
		},
	}
	c.Flags().StringArrayVar(&given, "head", nil, "row:hash that was noted elsewhere; may be given more than once")
	return c
}

func (e *environment) ledgerVerify(ctx context.Context, where string, heads []audit.Head) error {
	config, err := e.ledger(where)
	if err != nil {
		return err
	}
	start := time.Now()
	v, err := audit.Verify(ctx, config, heads...)
	if err != nil {
		return ofLedger(err)
	}
	if e.json() {
		if err := printJSON(e.out, v); err != nil {
			return err
		}
	} else {
		e.printVerdict(v, time.Since(start))
	}
	if v.Sound() {
		return nil
	}
	return &coded{code: exitFailed, err: fmt.Errorf("the ledger is not whole"), silent: true}
}

func (e *environment) printVerdict(v audit.Verdict, lasted time.Duration) {
	var cells [][]string
	for _, f := range v.Findings {
		rows := ""
		switch {
		case f.Through > f.Seq:
			rows = fmt.Sprintf("%d to %d", f.Seq, f.Through)
		case f.Seq > 0:
			rows = fmt.Sprint(f.Seq)
		}
		cells = append(cells, []string{string(f.Fault), rows, f.What})
	}
	if len(cells) > 0 {
		grid(e.out, []string{"FAULT", "ROWS", "WHAT"}, cells)
	}
	if v.More > 0 {
		fmt.Fprintf(e.out, "and %d more\n", v.More)
	}
	if v.Spooled > 0 {
		fmt.Fprintf(e.out, "%d rows wait on disk for the database\n", v.Spooled)
	}
	if v.Sound() {
		fmt.Fprintf(e.out, "%d rows, each as it was written, none missing; looked at in %s\n", v.Rows, took(lasted))
		if v.Rows > 0 {
			fmt.Fprintf(e.out, "head %d:%s\n", v.Head.Seq, v.Head.Hash)
		}
		return
	}
	fmt.Fprintf(e.out, "%d rows; the ledger is not whole\n", v.Rows)
}

// ofLedger gives an error of the ledger its exit code.
func ofLedger(err error) error {
	wrapped := fmt.Errorf("%s", audit.Words(err))
	switch {
	case audit.Away(err):
		return unreachable(wrapped)
	case audit.Wrong(err):
		return usage(wrapped)
	default:
		return &coded{code: exitFailed, err: wrapped}
	}
}
