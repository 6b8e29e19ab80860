// Package composecli is the real Compose CLI, for the programs under tests that hold what procedures do against what
// `docker compose` does.
package composecli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// File is the shipped stack's compose file, relative to the project.
const File = "deploy/production/docker-compose.production.yml"

// CLI is the program.
type CLI struct {
	path, home string
}

// Build makes the CLI in dir, the version that tests/integration pins. It is called in the project's root.
func Build(ctx context.Context, dir string) (CLI, error) {
	c := CLI{path: filepath.Join(dir, "docker-compose"), home: dir}
	build := exec.CommandContext(ctx, "go", "build", "-C", "tests/integration", "-o", c.path, "github.com/docker/compose/v5/cmd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return c, fmt.Errorf("build of the Compose CLI: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return c, nil
}

// Run is `docker compose -f File args...` as an operator's shell does it, with nothing in the environment that a
// compose file could take up.
func (c CLI) Run(ctx context.Context, args ...string) error {
	command := exec.CommandContext(ctx, c.path, append([]string{"-f", File}, args...)...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.home}
	if host, set := os.LookupEnv("DOCKER_HOST"); set {
		command.Env = append(command.Env, "DOCKER_HOST="+host)
	}
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("docker compose %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
