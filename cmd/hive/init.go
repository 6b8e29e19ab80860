package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leanvibe/hive/workers/operations/adopt"
)

func newInit(env *environment) *cobra.Command {
	var o adopt.Options
	var write bool
	c := &cobra.Command{
		Use: "init <compose file>", Short: "Propose what hive needs to know of a stack of yours",
		Long: "Reads a Compose file and the configuration of its nginx, guesses what each service is, and says what bars a roll without downtime.\n" +
			"Out come " + adopt.OverrideFile + " (x-hive for each service, beside your file, which stays as it is), a first " + adopt.PolicyFile + ", and the change\n" +
			"of nginx's configuration as a diff. Nothing is written without --write, and nothing that exists is overwritten.",
		Example: "  hive init compose.yaml\n  hive init compose.yaml --proxy-conf nginx/nginx.conf\n  hive init compose.yaml --write",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.File = args[0]
			if o.Timezone == "" {
				o.Timezone = zoneOfMachine()
			}
			if _, err := time.LoadLocation(o.Timezone); err != nil {
				return usage(fmt.Errorf("--timezone %s: no zone of the IANA database, such as Europe/Berlin", o.Timezone))
			}
			p, err := adopt.Look(c.Context(), o)
			if err != nil {
				return usage(err)
			}
			if write {
				if err := p.Write(); err != nil {
					return usage(err)
				}
			}
			if env.json() {
				return printJSON(env.out, p)
			}
			env.printProposal(p, write)
			return nil
		},
	}
	c.Flags().BoolVar(&write, "write", false, "write the files, and change nginx's configuration")
	c.Flags().StringVar(&o.ProxyConf, "proxy-conf", "", "nginx's configuration file, where the compose file does not mount it")
	c.Flags().StringVar(&o.Timezone, "timezone", "", "your zone by its IANA name (default this machine's)")
	return c
}

// zoneOfMachine is the machine's zone by its IANA name, UTC where it does not tell.
func zoneOfMachine() string {
	if target, err := os.Readlink("/etc/localtime"); err == nil {
		if _, zone, ok := strings.Cut(filepath.ToSlash(target), "zoneinfo/"); ok {
			return zone
		}
	}
	return "UTC"
}

func (e *environment) printProposal(p *adopt.Proposal, written bool) {
	rows := make([][]string, 0, len(p.Services))
	for _, s := range p.Services {
		rows = append(rows, []string{s.Name, string(s.Role), s.Why})
	}
	grid(e.out, []string{"SERVICE", "ROLE", "BECAUSE"}, rows)
	e.printBars(p)
	rows = nil
	for _, a := range p.Abilities {
		possible := "yes"
		if !a.Possible {
			possible = "no"
		}
		rows = append(rows, []string{a.Procedure, possible, a.Why})
	}
	grid(e.out, []string{"PROCEDURE", "POSSIBLE", "ON"}, rows)
	for _, s := range p.Services {
		for _, note := range s.Notes {
			fmt.Fprintf(e.out, "mind  %s: %s\n", s.Name, note)
		}
	}
	for _, note := range p.Notes {
		fmt.Fprintf(e.out, "mind  %s\n", note)
	}
	for line := range strings.Lines(p.Refused) {
		fmt.Fprintf(e.out, "not yet  procedures refuse such a policy: %s\n", strings.TrimSpace(line))
	}
	if !written {
		for _, f := range p.Files {
			fmt.Fprintf(e.out, "\n── %s%s\n%s", f.Path, exists(f), f.Text)
		}
		if p.Proxy.Diff != "" {
			fmt.Fprintf(e.out, "\n── %s\n%s", p.Proxy.Conf, p.Proxy.Diff)
		}
		fmt.Fprintf(e.out, "\nnothing was written; to write it: hive init %s --write\n", p.Compose)
		return
	}
	fmt.Fprintln(e.out)
	for _, path := range p.Written {
		fmt.Fprintf(e.out, "written  %s\n", path)
	}
	for _, next := range p.Next {
		fmt.Fprintf(e.out, "next     %s\n", next)
	}
}

func exists(f adopt.File) string {
	if f.Exists {
		return "   (exists already: --write would refuse)"
	}
	return ""
}

func (e *environment) printBars(p *adopt.Proposal) {
	var rows [][]string
	for _, s := range p.Services {
		for _, b := range s.Bars {
			way := b.Way
			if b.Lifted {
				way = adopt.OverrideFile + " takes it back"
			}
			rows = append(rows, []string{fmt.Sprint(b.Line), s.Name, b.What, way})
		}
	}
	if len(rows) > 0 {
		grid(e.out, []string{"LINE", "SERVICE", "BARS A ROLL", "WAY OUT"}, rows)
	}
}
