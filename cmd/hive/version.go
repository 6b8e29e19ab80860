package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if env.json() {
				return printJSON(env.out, map[string]string{"version": version, "go": runtime.Version()})
			}
			_, err := fmt.Fprintf(env.out, "hive %s (%s)\n", version, runtime.Version())
			return err
		},
	}
}
