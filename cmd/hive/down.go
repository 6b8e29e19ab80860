package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/leanvibe/hive/workers/operations/bootstrap"
)

func newDown(env *environment) *cobra.Command {
	var o bootstrap.DownOptions
	c := &cobra.Command{
		Use: "down", Short: "Stop the stack and the platform; data, images, backups and secrets stay",
		Long: "Stops every container of both projects in reverse order, each with its own grace time, and removes containers and networks.\n" +
			"Volumes stay unless --volumes names the project; then the passwords and the self-signed certificate that hive up made go with them.\n" +
			"Images stay unless --images. backups/, logs/, out/, secrets that you brought, images that were pulled, and Docker itself always stay.\n" +
			"In a project that is not Agent Hive the platform alone is taken down: hive did not make the stack.",
		Example: "  hive down\n  hive down --volumes leanvibe --images",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := env.projectDir()
			if err != nil {
				return err
			}
			o.Sources = env.sources
			gone, err := bootstrap.Down(c.Context(), dir, o, bootstrap.NewProgress(env.telling()))
			if err != nil {
				return stackError(err)
			}
			if env.json() {
				return printJSON(env.out, gone)
			}
			fmt.Fprintf(env.out, "removed: %d containers, %d networks, %d volumes, %d images, %d files\n", gone.Containers, gone.Networks, gone.Volumes, gone.Images, gone.Files)
			return nil
		},
	}
	c.Flags().StringVar(&o.Volumes, "volumes", "", "give up the data too: the project's name, to be sure")
	c.Flags().BoolVar(&o.Images, "images", false, "remove the images that hive made too")
	return c
}
