package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leanvibe/hive/workers/operations/runbookmap"
)

func newExplain(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "explain <old command>", Short: "Say what replaces a command of the runbook, and why",
		Long: "Finds the line of the operational runbook that the command is, or is a variant of, and says what happens now, why the old way was\n" +
			"unsafe, and what to type. Several commands in one line are explained one by one. A command that the runbook does not have ends with\n" +
			"exit code 2 and the lines that it resembles most.",
		Example: "  hive explain 'docker-compose up -d --no-deps communication-hub'\n  hive explain \"docker restart leanvibe-postgres-primary\"\n" +
			"  hive explain 'psql -c \"REINDEX DATABASE shop\"' --output json",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return env.explain(strings.Join(args, " ")) },
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w: put the old command in quotes, such as hive explain 'docker ps -a'; see: %s --help", err, c.CommandPath()))
	})
	return c
}

func (e *environment) explain(old string) error {
	m, err := runbookmap.Load()
	if err != nil {
		return err
	}
	answers := m.Explain(old)
	if e.json() {
		if err := printJSON(e.out, answers); err != nil {
			return err
		}
	}
	unknown := 0
	for i, a := range answers {
		if a.Kind == runbookmap.Unknown {
			unknown++
		}
		if e.json() {
			continue
		}
		if i > 0 {
			fmt.Fprintln(e.out)
		}
		e.printAnswer(a)
	}
	if unknown > 0 {
		return &coded{code: exitUsage, err: errors.New("the runbook has no such command"), silent: true}
	}
	return nil
}

// printAnswer prints one answer as pairs of a word and what it says.
func (e *environment) printAnswer(a runbookmap.Answer) {
	row := func(name, text string) {
		for i, line := range wrapped(text) {
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(e.out, "  %-11s%s\n", name, line)
		}
	}
	fmt.Fprintln(e.out, a.Command)
	if a.Kind == runbookmap.Unknown {
		row("unknown", "the runbook has no such command")
		e.printList("nearest", a.Nearest)
		return
	}
	if a.Line != a.Command {
		row("taken for", a.Line)
	}
	var places []string
	for _, place := range a.Where {
		places = append(places, fmt.Sprintf("line %d, %s", place.Number, place.Heading))
	}
	e.printList("runbook", places)
	switch a.Kind {
	case runbookmap.ByProcedure:
		row("now", a.Procedure+": "+a.Does)
		row("steps", strings.Join(a.Steps, " "))
	case runbookmap.ByVerb:
		row("now", "hive "+a.Verb+": "+a.Does)
	case runbookmap.Refused:
		row("never", a.Reason)
		row("instead", a.Does)
	case runbookmap.NotYet:
		row("not yet", a.Reason)
		row("today", or(a.Does, "nothing of ours does this"))
	}
	row("old way", a.Why)
	e.printList("type", a.Type)
	if a.Page != "" {
		row("read", "docs/"+a.Page)
	}
}

// printList prints lines as they are: they are there to be copied.
func (e *environment) printList(name string, lines []string) {
	for i, line := range lines {
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(e.out, "  %-11s%s\n", name, line)
	}
}

// wrapped breaks a text into lines of a terminal's width; an empty one has none.
func wrapped(text string) []string {
	const width = 100
	var lines []string
	line := ""
	for _, w := range strings.Fields(text) {
		if line != "" && len([]rune(line))+1+len([]rune(w)) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + w)
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
