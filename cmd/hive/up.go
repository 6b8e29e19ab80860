package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/leanvibe/hive/workers/operations/bootstrap"
	"github.com/leanvibe/hive/workflows/runbook"
)

func newUp(env *environment) *cobra.Command {
	var o bootstrap.Options
	var newer bool
	c := &cobra.Command{
		Use: "up", Short: "Bring up the stack and the platform; what is right already is left alone",
		Long: "Makes what is not there yet, in this order: images, secrets, networks, registry, stores, Redis Cluster, schema, applications,\n" +
			"proxy, monitoring, and the platform (Temporal and opsworker). It may be called at any time and as often as one likes; interrupted,\n" +
			"it says what is left, and the next call goes on from there. Containers of the stack that differ from the compose file are named and\n" +
			"left alone: applications are changed by RollingRestart, which loses no request.\n\n" +
			"HIVE_IMAGES=upstream pulls images, HIVE_IMAGES=local makes them from Debian packages; without it the first call looks whether a\n" +
			"registry can be reached, and later ones stay with what it found.\n\n" +
			"In a project that is not Agent Hive (see hive init) only the platform is brought up, beside the stack, whose containers are left\n" +
			"alone. It is built from hive's sources: those that this program lies in, as make hive puts it, or those that --hive names. One machine\n" +
			"has one platform: while it serves another project, hive up says which one and does nothing.",
		Example: "  hive up\n  hive up --project /srv/shop --hive /opt/hive\n  HIVE_IMAGES=local hive up --timeout 5m\n  hive up --output json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := env.projectDir()
			if err != nil {
				return err
			}
			progress := bootstrap.NewProgress(env.telling())
			if newer {
				_, err := bootstrap.Newer(c.Context(), dir, progress)
				return stackError(err)
			}
			o.Sources = env.sources
			summary, err := bootstrap.Up(c.Context(), dir, o, progress)
			if err != nil {
				return stackError(err)
			}
			if env.json() {
				return printJSON(env.out, summary)
			}
			printUp(env.out, summary)
			return nil
		},
	}
	c.Flags().DurationVar(&o.HealthLimit, "timeout", 3*time.Minute, "how long a group of containers may take to be healthy")
	c.Flags().BoolVar(&newer, "newer", false, "instead: push a newer image of each application, for a roll to find")
	_ = c.Flags().MarkHidden("newer") // for make run and the tests
	return c
}

// telling is where progress goes: beside a JSON answer it must not stand in it.
func (e *environment) telling() io.Writer {
	if e.json() {
		return e.err
	}
	return e.out
}

func printUp(out io.Writer, s bootstrap.Summary) {
	what := s.Project
	if !s.Own {
		what = "the platform of " + s.Project
	}
	fmt.Fprintf(out, "\n%s is up after %.1f s: %d containers created, %d started\n", what, s.Seconds, len(s.Created), len(s.Started))
	for _, phase := range s.Phases {
		if phase.Seconds >= 1 {
			fmt.Fprintf(out, "  %-22s %6.1f s\n", phase.Name, phase.Seconds)
		}
	}
	for _, image := range s.Newer {
		fmt.Fprintf(out, "newer and not running yet: %s\n", image)
	}
	if s.Own {
		fmt.Fprintf(out, "  the stack       http://127.0.0.1:8080/health\n  Temporal UI     %s\n  Prometheus      http://127.0.0.1:9090\n  Alertmanager    http://127.0.0.1:9093\n", uiBase)
	} else {
		fmt.Fprintf(out, "  Temporal UI     %s\n", uiBase)
	}
	fmt.Fprintln(out, "next: hive status, hive run ReadinessCheck, hive plan WeeklyMaintenance")
}

// stackError gives errors of bringing up and taking down their exit code.
func stackError(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case runbook.KindOf(err) == runbook.Unreachable:
		return unreachable(errors.New(runbook.Reason(err)))
	case runbook.KindOf(err) == runbook.Busy:
		return &coded{code: exitRefused, err: errors.New(runbook.Reason(err))}
	case runbook.KindOf(err) == runbook.Refused:
		return usage(errors.New(runbook.Reason(err)))
	case runbook.KindOf(err) != "":
		return errors.New(runbook.Reason(err))
	default:
		return err
	}
}
