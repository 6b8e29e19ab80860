package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	uiversion "github.com/temporalio/ui-server/v2/server/version"
	"go.temporal.io/server/common/headers"
)

const explanation = `hive-temporal runs the official Temporal server and its user interface in one process.

It keeps everything in one SQLite file (write-ahead log, synchronous=full: what was acknowledged survives a power
cut) below --data, and makes the namespace, its retention and its search attributes at every start. It listens on
loopback only and asks for no login there; each call's caller is written into the history events that it causes.

  gRPC      ` + "`--port`" + `          for workers and clients (default 7233)
  browser   ` + "`--ui-port`" + `       http://127.0.0.1:8233
  metrics   ` + "`--metrics-port`" + `  http://127.0.0.1:9333/metrics

A client names itself by its identity or by gRPC metadata "hive-principal", as "type:name" ("hive:alice").
SIGTERM and SIGINT stop it in good order; kill -9 loses nothing that was acknowledged.`

// command is the whole command line: the server itself, and the check that a container's HEALTHCHECK calls.
func command() *cobra.Command {
	s := defaults()
	root := &cobra.Command{
		Use:           "hive-temporal",
		Short:         "Temporal server and user interface in one process",
		Long:          explanation,
		Args:          cobra.NoArgs,
		Version:       fmt.Sprintf("%s (server %s, user interface %s)", version, headers.ServerVersion, uiversion.UIVersion),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.validate(); err != nil {
				return err
			}
			return run(cmd.Context(), s)
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&s.bind, "bind", s.bind, "loopback address to listen on")
	flags.IntVar(&s.port, "port", s.port, "port for gRPC")
	flags.IntVar(&s.uiPort, "ui-port", s.uiPort, "port for the user interface")
	flags.StringVar(&s.namespace, "namespace", s.namespace, "namespace that is made at start")
	local := root.Flags()
	local.StringVar(&s.data, "data", s.data, "directory of the database file; made if missing")
	local.IntVar(&s.metricsPort, "metrics-port", s.metricsPort, "port for Prometheus metrics")
	local.DurationVar(&s.retention, "retention", s.retention, "how long closed runs are kept (at least 24h)")
	local.StringVar(&s.banner, "banner", s.banner, "text of the strip at the top of every page; empty for none")
	local.StringVar(&s.logLevel, "log-level", s.logLevel, "least level that the server logs: debug, info, warn, error")
	local.StringToStringVar(&s.extra, "search-attribute", nil, "further search attribute, Name=Type; repeatable (types: Keyword, KeywordList, Bool, Datetime, Int, Double, Text)")

	root.AddCommand(healthcheck(s))
	return root
}

func healthcheck(s *settings) *cobra.Command {
	var timeout time.Duration
	check := &cobra.Command{
		Use:   "healthcheck",
		Short: "Exit 0 when server, namespace and user interface answer, else say what does not",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return checkHealth(cmd.Context(), s, timeout)
		},
	}
	check.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for an answer")
	return check
}
