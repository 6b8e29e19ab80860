package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const composeFile = "deploy/production/docker-compose.production.yml"

// buildCompose makes the real Compose CLI, the version that tests/integration pins, in dir.
func buildCompose(ctx context.Context, dir string) error {
	_, err := output(ctx, "go", "build", "-C", "tests/integration", "-o", filepath.Join(dir, "docker-compose"), "github.com/docker/compose/v5/cmd")
	return err
}

// upAgain runs `docker compose up -d` as an operator's shell does, and answers what it made, started or removed.
func upAgain(ctx context.Context, dir string) ([]string, error) {
	before, err := census(ctx)
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, filepath.Join(dir, "docker-compose"), "-f", composeFile, "up", "-d")
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	if host, set := os.LookupEnv("DOCKER_HOST"); set {
		c.Env = append(c.Env, "DOCKER_HOST="+host)
	}
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("docker compose up -d: %w: %s", err, strings.TrimSpace(string(out)))
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
