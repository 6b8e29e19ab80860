package main

import (
	"fmt"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/leanvibe/hive/workers/operations/view"
)

func newStats(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "stats [service]", Short: "Processor, memory and network of each container, once",
		Example: "  hive stats\n  hive stats postgres-primary --output json",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: env.completeService,
		RunE: func(c *cobra.Command, args []string) error {
			engine, containers, err := env.containers(c.Context(), args)
			if err != nil {
				return err
			}
			defer engine.Close()
			usages, err := engine.Usages(c.Context(), containers)
			if err != nil {
				return unreachable(err)
			}
			if env.json() {
				return printJSON(env.out, usages)
			}
			if len(usages) == 0 {
				_, err := fmt.Fprintln(env.out, "nothing runs: bring the stack up with `hive up`")
				return err
			}
			grid(env.out, []string{"CONTAINER", "CPU %", "MEMORY", "LIMIT", "RECEIVED", "SENT", "PIDS"}, usageRows(usages))
			return nil
		},
	}
}

func usageRows(usages []view.Usage) [][]string {
	var rows [][]string
	for _, u := range usages {
		limit := "none"
		if u.Limit > 0 {
			limit = fmt.Sprintf("%s (%.0f %%)", units.BytesSize(float64(u.Limit)), 100*float64(u.Memory)/float64(u.Limit))
		}
		rows = append(rows, []string{
			u.Container, fmt.Sprintf("%.1f", u.CPU), units.BytesSize(float64(u.Memory)), limit,
			units.BytesSize(float64(u.Received)), units.BytesSize(float64(u.Sent)), fmt.Sprint(u.PIDs),
		})
	}
	return rows
}
