package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/leanvibe/hive/tests/composecli"
)

// upAgain runs `docker compose up -d` and answers what it made, started or removed.
func upAgain(ctx context.Context, compose composecli.CLI) ([]string, error) {
	before, err := census(ctx)
	if err != nil {
		return nil, err
	}
	if err := compose.Run(ctx, "up", "-d"); err != nil {
		return nil, err
	}
	after, err := census(ctx)
	if err != nil {
		return nil, err
	}
	var moved []string
	for _, c := range after {
		if !slices.Contains(before, c) {
			moved = append(moved, "now "+c)
		}
	}
	for _, c := range before {
		if !slices.Contains(after, c) {
			moved = append(moved, "before "+c)
		}
	}
	return moved, nil
}

// census are the stack's containers by name, identity and start.
func census(ctx context.Context) ([]string, error) {
	ids, err := exec.CommandContext(ctx, "docker", "ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project=leanvibe").Output()
	if err != nil {
		return nil, fmt.Errorf("docker ps: %w", err)
	}
	args := append([]string{"inspect", "--format", "{{.Name}} {{.Id}} {{.State.StartedAt}}"}, strings.Fields(string(ids))...)
	out, err := exec.CommandContext(ctx, "docker", args...).Output()
	if err != nil {
		return nil, fmt.Errorf("docker inspect: %w", err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), nil
}
