package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/leanvibe/hive/workers/operations/view"
)

// platformProject is the compose project of our own services.
const platformProject = "hive-platform"

func newLogs(env *environment) *cobra.Command {
	var o view.LogOptions
	c := &cobra.Command{
		Use: "logs [service]", Short: "Show what services write, of one or of all",
		Example: "  hive logs universal-orchestrator --tail 100\n  hive logs nginx --follow\n  hive logs opsworker",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: env.completeService,
		RunE: func(c *cobra.Command, args []string) error {
			engine, containers, err := env.containers(c.Context(), args)
			if err != nil {
				return err
			}
			defer engine.Close()
			return engine.Logs(c.Context(), env.out, containers, o)
		},
	}
	c.Flags().IntVar(&o.Tail, "tail", 50, "lines from the end of each container's output; -1 for all")
	c.Flags().BoolVarP(&o.Follow, "follow", "f", false, "go on with what is written from now on")
	return c
}

// containers are those of stack and platform, or of the one service that args name.
func (e *environment) containers(ctx context.Context, args []string) (*view.Engine, []view.Container, error) {
	dir, err := e.projectDir()
	if err != nil {
		return nil, nil, err
	}
	stack, err := view.Name(ctx, dir)
	if err != nil {
		return nil, nil, usage(err)
	}
	engine, err := view.Open(ctx)
	if err != nil {
		return nil, nil, unreachable(err)
	}
	var all []view.Container
	for _, project := range []string{stack, platformProject} {
		some, err := engine.Containers(ctx, project)
		if err != nil {
			_ = engine.Close()
			return nil, nil, unreachable(err)
		}
		all = append(all, some...)
	}
	if len(args) == 1 {
		all, err = view.Of(all, args[0])
		if err != nil {
			_ = engine.Close()
			return nil, nil, usage(err)
		}
	}
	return engine, all, nil
}

func (e *environment) completeService(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	engine, containers, err := e.containers(c.Context(), nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer engine.Close()
	var names []string
	for _, container := range containers {
		names = append(names, container.Service)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
